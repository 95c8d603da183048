"""The datasets: the same rows every time, written block by block, so that memory does not grow with the rows.

    generate.py long 1000000 data.csv          # four numbers, a time, two texts: about 75 bytes a row
    generate.py wide 20000 wide.parquet        # 490 numbers, ten texts

A shorter file is the beginning of a longer one. Parquet is made from the CSV, as a stream.
"""

import argparse
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

SEED = 20261124
BLOCK_ROWS = {"long": 250_000, "wide": 5_000}
CITIES = [f"{name} {part}" for name in ("Ulm", "Bonn", "Kiel", "Jena", "Gera", "Trier") for part in range(1, 8)]
START = datetime(2026, 1, 1)  # noqa: DTZ001 (a time without a zone, as most files have)
NUMBERS, WIDE_NUMBERS, WIDE_TEXTS = ("price", "weight", "reading", "units"), 490, 10


def long_block(rng: np.random.Generator, first: int, rows: int) -> pl.DataFrame:
    """A normal and a lognormal column, one with rare values far away, whole numbers; some cities are missing."""
    reading = rng.normal(0, 1, rows)
    reading[rng.random(rows) < 1e-4] += 20
    city = pl.Series(rng.choice(CITIES, rows))
    return pl.DataFrame(
        {
            "price": rng.normal(100, 15, rows).round(4),
            "weight": rng.lognormal(0, 0.5, rows).round(4),
            "reading": reading.round(6),
            "units": rng.integers(0, 10_000, rows),
            "at": pl.datetime_range(
                START + timedelta(seconds=first), START + timedelta(seconds=first + rows - 1), "1s", eager=True
            ),
            "city": pl.select(pl.when(pl.lit(pl.Series(rng.random(rows) >= 0.02))).then(pl.lit(city))).to_series(),
            "note": pl.Series(rng.integers(0, 10**9, rows)).cast(pl.String).str.pad_start(10, "0"),
        }
    ).with_columns(("order " + pl.col("note")).alias("note"))


def wide_block(rng: np.random.Generator, first: int, rows: int) -> pl.DataFrame:
    numbers = rng.normal(100, 15, (rows, WIDE_NUMBERS)).round(3)
    texts = {f"t{place}": rng.choice(CITIES, rows) for place in range(WIDE_TEXTS)}
    return pl.DataFrame({f"n{place:03d}": numbers[:, place] for place in range(WIDE_NUMBERS)} | texts)


def blocks(shape: str, rows: int) -> Iterator[pl.DataFrame]:
    """Each from a generator of its own, whole: then the last is cut."""
    make, size = {"long": long_block, "wide": wide_block}[shape], BLOCK_ROWS[shape]
    for place, first in enumerate(range(0, rows, size)):
        yield make(np.random.default_rng((SEED, place)), first, size).head(rows - first)


def write(shape: str, rows: int, path: Path) -> None:
    """Write a CSV or, by its name, a Parquet file; what is there already is kept."""
    if path.exists():
        return
    unfinished = path.with_suffix(".unfinished")
    if path.suffix == ".csv":
        with unfinished.open("wb") as file:
            for place, block in enumerate(blocks(shape, rows)):
                block.write_csv(file, include_header=place == 0, datetime_format="%Y-%m-%dT%H:%M:%S")
    else:
        source = path.with_suffix(".csv")
        write(shape, rows, source)
        pl.scan_csv(source, try_parse_dates=True).sink_parquet(unfinished, row_group_size=122_880)
    unfinished.rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=BLOCK_ROWS)
    parser.add_argument("rows", type=int)
    parser.add_argument("path", type=Path)
    options = parser.parse_args()
    write(options.shape, options.rows, options.path)


if __name__ == "__main__":
    main()
