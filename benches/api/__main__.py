"""`make bench-api`: how fast the API answers and takes uploads, beside bare servers and the bare object store.

make bench-api                                     # all but the streams: about a quarter of an hour
make bench-api ARGS="reads submits --rounds 1 --seconds 2"
make bench-api ARGS="streams --streams 10000"      # idle streams of events on one process

Clients, API, PostgreSQL and S3 share two cores. The load is wrk's.
"""

import argparse
from pathlib import Path

from benches.api import answers, streams, uploads
from benches.api.load import check_tool
from benches.measuring import run_parts, use_two_cores

PARTS = {
    "reads": answers.measure_reads,
    "submits": answers.measure_submits,
    "lists": answers.measure_lists,
    "upload": uploads.measure_upload,
    "crowd": uploads.measure_crowd,
    "streams": streams.measure,
}
USUAL = ("reads", "submits", "lists", "upload", "crowd")
LOADED = {"reads", "submits", "lists"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help=f"default: {', '.join(USUAL)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of one turn of wrk")
    parser.add_argument("--mib", type=int, default=1024, help="of the file that is uploaded alone")
    parser.add_argument("--crowd-mib", type=int, default=100, help="of each of fifty files that are uploaded at once")
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--out", type=Path, help="a file for the figures, as JSON lines; added to")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    chosen = options.parts or USUAL
    if LOADED.intersection(chosen):
        check_tool()
    run_parts(PARTS, chosen, options, cores=use_two_cores())


if __name__ == "__main__":
    main()
