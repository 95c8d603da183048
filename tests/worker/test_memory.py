"""Executors stay under their budget, however many rows there are."""

import asyncio
import logging
from pathlib import Path
from uuid import UUID

import numpy as np
import polars as pl
import pytest

from gristmill.domain.job import JobStatus
from gristmill.ingest.options import Limits
from tests.worker.rig import Bench, WorkerProcess, ready, running

log = logging.getLogger(__name__)

PARTS = 3
PART_ROWS = 1_000_000
BUDGET_KIB = 512 * 1024
JOBS = {
    "metrics": ("metrics", b'{"columns": ["a"]}'),
    "anomalies": ("anomalies", b"{}"),
    "scale": ("normalize", b'{"steps": [{"op": "scale", "method": "zscore"}]}'),
    "duplicates": ("normalize", b'{"steps": [{"op": "drop_duplicates"}]}'),
}

WIDE = {500: 40_000, 2000: 10_000}
WIDE_JOBS = {
    "metrics": ("metrics", b"{}"),
    "zscore": ("anomalies", b"{}"),
    "scale": ("normalize", b'{"steps": [{"op": "scale", "method": "robust"}]}'),
}

# Columns, rows, characters of a text, rows of a part.
TEXTS = ((500, 40_000, 12, 40_000), (3, 2_000_000, 112, 1_000_000), (3, 200_000, 1024, 200_000))


def part(ordinal: int) -> pl.DataFrame:
    """A million rows, all different."""
    rng = np.random.default_rng(ordinal)
    rows = np.arange(ordinal * PART_ROWS, (ordinal + 1) * PART_ROWS)
    return pl.DataFrame({"a": rng.normal(size=PART_ROWS), "b": rows, "t": rng.integers(0, 50_000, PART_ROWS)}).cast(
        {"t": pl.String}
    )


async def peak_kib(bench: Bench, worker: WorkerProcess, job_id: UUID) -> int:
    """The largest VmHWM of an executor until the job is done."""
    peak = 0
    while True:
        for pid in worker.children():
            peak = max(peak, high_water(pid))
        row = await bench.look(job_id)
        if row.status.final:
            assert row.status is JobStatus.COMPLETED, row.error
            return peak
        await asyncio.sleep(0.05)


def high_water(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)


async def test_peaks(bench: Bench, environment: dict[str, str], tmp_path: Path) -> None:
    dataset_id = await ready(bench, *(part(ordinal) for ordinal in range(PARTS)))
    async with running(environment, tmp_path) as worker:
        for name, (kind, params) in JOBS.items():
            peak = await peak_kib(bench, worker, await bench.job(dataset_id, kind, params))
            log.info("%s: %d MiB at %d rows", name, peak // 1024, PARTS * PART_ROWS)
            assert 0 < peak < BUDGET_KIB, name


@pytest.mark.parametrize(("columns", "rows"), WIDE.items())
async def test_peaks_of_wide_tables(
    bench: Bench, environment: dict[str, str], tmp_path: Path, columns: int, rows: int
) -> None:
    frame = pl.DataFrame(np.random.default_rng(1).normal(size=(columns, rows)).round(3), schema=wide_schema(columns))
    dataset_id = await ready(bench, *frame.iter_slices(Limits().rows_of_part(columns)))  # as ingest cuts it
    async with running(environment, tmp_path) as worker:
        for name, (kind, params) in WIDE_JOBS.items():
            peak = await peak_kib(bench, worker, await bench.job(dataset_id, kind, params))
            log.info("%s: %d MiB at %d rows of %d columns", name, peak // 1024, rows, columns)
            assert 0 < peak < BUDGET_KIB, name


async def test_the_peak_of_filling_many_columns_forward(
    bench: Bench, environment: dict[str, str], tmp_path: Path
) -> None:
    """Every column misses values."""
    columns, rows = 2000, 10_000
    numbers = np.random.default_rng(1).normal(size=(columns, rows)).round(3)
    frame = pl.DataFrame(numbers, schema=wide_schema(columns)).with_columns(pl.all().clip(-1).replace(-1.0, None))
    dataset_id = await ready(bench, *frame.iter_slices(Limits().rows_of_part(columns)))
    params = b'{"steps": [{"op": "fill_nulls", "strategy": "forward"}]}'
    async with running(environment, tmp_path) as worker:
        peak = await peak_kib(bench, worker, await bench.job(dataset_id, "normalize", params))
    log.info("forward: %d MiB at %d rows of %d columns", peak // 1024, rows, columns)
    assert 0 < peak < BUDGET_KIB


def wide_schema(columns: int) -> list[str]:
    return [f"n{place:04d}" for place in range(columns)]


@pytest.mark.parametrize(("columns", "rows", "characters", "part_rows"), TEXTS)
async def test_peaks_of_texts(
    bench: Bench,
    environment: dict[str, str],
    tmp_path: Path,
    *,
    columns: int,
    rows: int,
    characters: int,
    part_rows: int,
) -> None:
    starts = range(0, rows, part_rows)
    dataset_id = await ready(bench, *(texts(columns, start, part_rows, characters) for start in starts))
    async with running(environment, tmp_path) as worker:
        kind, params = JOBS["duplicates"]
        peak = await peak_kib(bench, worker, await bench.job(dataset_id, kind, params))
        log.info("duplicates: %d MiB at %d rows of %d texts of %d", peak // 1024, rows, columns, characters)
        assert 0 < peak < BUDGET_KIB


def texts(columns: int, first: int, rows: int, characters: int) -> pl.DataFrame:
    """Texts that are all different, of so many characters."""
    row = pl.int_range(first, first + rows, dtype=pl.UInt64)
    words = [row.hash(seed).cast(pl.String).str.slice(0, 16).str.zfill(16) for seed in range(columns + 63)]
    return pl.select(
        pl.concat_str(words[place : place + -(-characters // 16)]).str.slice(0, characters).alias(name)
        for place, name in enumerate(wide_schema(columns))
    )
