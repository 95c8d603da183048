"""Measure again what the architecture's decisions rest on; prints one table of medians and ratios.

    make bench                       # everything, 3 rounds
    python benches/decisions.py --rows 2000000 --rounds 3

Absolute times say little on a shared machine; the ratios, taken within one run, are what is meant.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl


@dataclass(frozen=True)
class Measured:
    """What was measured, its median seconds, and what it is compared with."""

    what: str
    seconds: float
    against: str = ""
    ratio: float | None = None


def median_seconds(work: Callable[[], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def make_data(folder: Path, rows: int) -> tuple[Path, Path]:
    """The same rows as CSV and as Parquet: four numbers, a time and two texts."""
    random = np.random.default_rng(20261123)
    frame = pl.DataFrame(
        {
            **{f"n{index}": random.normal(100, 15, rows).round(4) for index in range(4)},
            "at": np.datetime64("2026-01-01", "ms") + 1000 * np.arange(rows),
            "city": random.choice(["Ulm", "Bonn", "Kiel", "Jena"], rows),
            "note": random.integers(0, 10**9, rows).astype(str),
        }
    )
    csv, parquet = folder / "data.csv", folder / "data.parquet"
    frame.write_csv(csv)
    frame.write_parquet(parquet, compression="zstd")
    return csv, parquet


def scaled(frame: pl.LazyFrame) -> pl.LazyFrame:
    numbers = [f"n{index}" for index in range(4)]
    return frame.with_columns(((pl.col(name) - 100.0) / 15.0).alias(name) for name in numbers)


def moments(frame: pl.LazyFrame) -> pl.LazyFrame:
    numbers = [pl.col(f"n{index}") for index in range(4)]
    return frame.select(
        *(column.mean().name.suffix("_mean") for column in numbers),
        *(column.std().name.suffix("_std") for column in numbers),
        *(column.min().name.suffix("_min") for column in numbers),
        *(column.max().name.suffix("_max") for column in numbers),
    )


def columnar_once(csv: Path, parquet: Path, folder: Path, rounds: int) -> list[Measured]:
    """Parsing text is most of a job's cost, so it is done once, at ingest."""
    out = folder / "out.parquet"

    def both(name: str, work: Callable[[pl.LazyFrame], pl.LazyFrame]) -> list[Measured]:
        from_csv = median_seconds(lambda: work(pl.scan_csv(csv)).sink_parquet(out), rounds)
        from_parquet = median_seconds(lambda: work(pl.scan_parquet(parquet)).sink_parquet(out), rounds)
        return [
            Measured(f"{name} from CSV", from_csv),
            Measured(f"{name} from Parquet", from_parquet, "from CSV", from_parquet / from_csv),
        ]

    return [*both("scale 4 columns", scaled), *both("moments of 4 columns", moments)]


def counted_progress(parquet: Path, folder: Path, rounds: int) -> list[Measured]:
    """Progress is counted as morsels pass; the count must cost nothing that can be measured."""
    seen = [0]

    def count(morsel: pl.DataFrame) -> pl.DataFrame:
        seen[0] += morsel.height
        return morsel

    out = folder / "counted.parquet"
    plain = median_seconds(lambda: scaled(pl.scan_parquet(parquet)).sink_parquet(out), rounds)
    counted = median_seconds(
        lambda: scaled(pl.scan_parquet(parquet).map_batches(count, streamable=True)).sink_parquet(out), rounds
    )
    if seen[0] == 0:
        raise RuntimeError("nothing was counted")
    return [Measured("scale, uncounted", plain), Measured("scale, counted", counted, "uncounted", counted / plain)]


def cancel_in_process(parquet: Path) -> list[Measured]:
    """How long a query computes on after it was asked to stop: why executors are processes that can be killed."""
    slow = pl.concat([pl.scan_parquet(parquet)] * 8).group_by("note").agg(pl.col("n0").median(), pl.len())
    query = slow.collect(engine="streaming", background=True)
    begun = time.process_time()
    while time.process_time() - begun < 0.5:
        time.sleep(0.01)
    asked = time.perf_counter()
    query.cancel()
    return [Measured("computes on after cancel()", _busy_until() - asked)]


def _busy_until() -> float:
    """The last moment at which this process used its cores: it is idle once half a second costs nothing."""
    while True:
        used, now = time.process_time(), time.perf_counter()
        time.sleep(0.5)
        if time.process_time() - used < 0.05:
            return now


def table(found: list[Measured]) -> str:
    width = max(len(item.what) for item in found)
    lines = [f"{'what':<{width}}  seconds  ratio"]
    for item in found:
        ratio = "" if item.ratio is None else f"{item.ratio:.2f} of {item.against}"
        lines.append(f"{item.what:<{width}}  {item.seconds:7.3f}  {ratio}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        csv, parquet = make_data(folder, given.rows)
        sizes = f"CSV {csv.stat().st_size / 1e6:.0f} MB, Parquet {parquet.stat().st_size / 1e6:.0f} MB"
        print(f"Polars {pl.__version__}, {pl.thread_pool_size()} threads, {given.rows:,} rows, {sizes}\n")
        found = [
            *columnar_once(csv, parquet, folder, given.rounds),
            *counted_progress(parquet, folder, given.rounds),
            *cancel_in_process(parquet),
        ]
        print(table(found))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
