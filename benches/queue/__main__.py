"""`make bench-queue`: our queue beside its peers in one run; prints tables, and the ratios beside what is wanted.

make bench-queue                                           # all but the last two: about half an hour
make bench-queue ARGS="queues --only bare gristmill --rounds 1"
make bench-queue ARGS="ablation"                           # what each technique brings
make bench-queue ARGS="telemetry --rounds 5"               # what metrics cost
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # the root: what all benches share is found from there

import ablation
import datasets
import held
import pruning
import queues
import telemetry

from benches.measuring import run_parts

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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help=f"default: {', '.join(USUAL)}")
    parser.add_argument("--only", nargs="*", default=[], help="queues, by the beginnings of their names")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--history", type=int, default=1_000_000, help="finished jobs to keep; 0: leave that out")
    parser.add_argument("--held-s", type=float, default=300.0, help="seconds that a transaction is held open")
    parser.add_argument("--out", type=Path, help="a file for the figures, as JSON lines")
    options = parser.parse_args()
    run_parts(PARTS, options.parts or USUAL, options, cores=os.cpu_count() or 1)


if __name__ == "__main__":
    main()
