"""`make bench-queue`: our queue beside its peers in one run; prints tables, and the ratios beside what is wanted.

make bench-queue                                           # all but the last two: about half an hour
make bench-queue ARGS="queues --only bare gristmill --rounds 1"
make bench-queue ARGS="ablation"                           # what each technique brings
make bench-queue ARGS="telemetry --rounds 5"               # what metrics cost
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # the root: what all benches share is found from there

import ablation
import datasets
import held
import pruning
import queues
import telemetry

from benches.measuring import Wanted, ratio_table

PARTS = {
    "queues": queues.measure,
    "held": held.measure,
    "datasets": datasets.measure,
    "pruning": pruning.measure,
    "ablation": ablation.measure,
    "telemetry": telemetry.measure,
}
USUAL = ("queues", "held", "datasets", "pruning")


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers and workers are stopped
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help=f"default: {', '.join(USUAL)}")
    parser.add_argument("--only", nargs="*", default=[], help="queues, by the beginnings of their names")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--history", type=int, default=1_000_000, help="finished jobs to keep; 0: leave that out")
    parser.add_argument("--held-s", type=float, default=300.0, help="seconds that a transaction is held open")
    parser.add_argument("--out", type=Path, help="a file for the figures, as JSON lines")
    options = parser.parse_args()
    ratios: list[Wanted] = []
    for name in options.parts or USUAL:
        print(f"== {name}", flush=True)
        with tempfile.TemporaryDirectory(prefix="queue bench ") as folder:
            found = PARTS[name](Path(folder), options)
        print(found.table, flush=True)
        ratios += found.ratios
        if options.out:
            with options.out.open("a") as file:
                file.writelines(json.dumps({"part": name, **line}) + "\n" for line in found.figures)
    print(f"\n{os.cpu_count()} cores; medians of {options.rounds}\n")
    print(ratio_table(ratios))


if __name__ == "__main__":
    main()
