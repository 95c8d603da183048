"""`make bench-data`: our data plane beside its peers in one run; prints tables, and the ratios beside what is wanted.

make bench-data                                       # 1 M rows, 500 columns, detection: some minutes
make bench-data ARGS="jobs --rows 15000000 --only gristmill polars --rounds 1 --folder /tmp/kept --out figures.jsonl"
make bench-data ARGS="table --out figures.jsonl"      # the tables of what several runs wrote there

With --folder, services and datasets are kept, so that a long measurement can be made in parts.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # the root: what all benches share is found from there

import detection
import jobs
import tables

from benches.measuring import Found, Wanted, ratio_table, use_two_cores


def table(folder: Path, options: argparse.Namespace) -> Found:
    """Nothing is measured: the tables of what is in the file already."""
    lines = [json.loads(line) for line in options.out.read_text().splitlines()]
    return Found(tables.jobs(lines), tables.ratios(lines), [])


PARTS = {"jobs": jobs.measure, "wide": jobs.measure_wide, "detection": detection.measure, "table": table}
USUAL = ("jobs", "wide", "detection")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help=f"default: {', '.join(USUAL)}")
    parser.add_argument("--rows", nargs="*", type=int, default=[1_000_000], help="sizes")
    parser.add_argument("--wide-rows", type=int, default=10_000, help="rows of 500 columns")
    parser.add_argument("--works", nargs="*", choices=[*jobs.WORKS, []], default=jobs.USUAL, help="what is computed")
    parser.add_argument("--ingest", nargs="*", choices=[*jobs.INGESTS, []], default=jobs.INGESTS)
    parser.add_argument("--only", nargs="*", default=[], help="who, by the beginnings of their names")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--executors", type=int, default=1, help="of the worker; one has both cores")
    parser.add_argument("--folder", type=Path, help="keep services and datasets there")
    parser.add_argument("--out", type=Path, help="a file for the figures, as JSON lines; added to")
    options = parser.parse_args()
    if "table" in options.parts and options.out is None:
        parser.error("table needs --out")
    return options


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers and workers are stopped
    options = arguments()

    def keep(line: dict[str, object]) -> None:
        """At once, so that what was measured outlives a run that is broken off."""
        if options.out:
            with options.out.open("a") as file:
                file.write(json.dumps(line) + "\n")

    options.keep = keep
    cores, load = use_two_cores(), os.getloadavg()[0]
    ratios: list[Wanted] = []
    with nullcontext(options.folder) if options.folder else tempfile.TemporaryDirectory(prefix="data bench ") as name:
        folder = Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        for part in options.parts or USUAL:
            print(f"== {part}", flush=True)
            found = PARTS[part](folder, options)
            print(found.table, flush=True)
            ratios += found.ratios
    print(f"\n{cores} cores; medians of {options.rounds}; load {load:.1f} when it began\n")
    print(ratio_table(ratios))


if __name__ == "__main__":
    main()
