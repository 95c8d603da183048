"""What a worker would do to the queue, done at once: the tests of the API need jobs in every state."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import msgspec
import polars as pl

from gristmill.db.claims import claim_jobs
from gristmill.db.engine import Database
from gristmill.db.outcomes import Ending, record_outcomes
from gristmill.domain.column import Column
from gristmill.domain.dataset import Ingested
from gristmill.domain.job import Claim
from gristmill.domain.manifest import JSON, PARQUET, Manifest, StoredFile, ingest_prefix, part_name, result_prefix
from gristmill.domain.outcome import Completed, Failed, Outcome
from gristmill.errors import BadData
from gristmill.objects import ObjectOutput, ObjectStore
from gristmill.objects.compute import held_file
from gristmill.settings import Settings

COLUMNS = (Column("city", "String"), Column("temperature", "Float64"))
TABLE = b"PAR1 not really"
REPORT = b'{"rows": 2}'


async def claim(database: Database, job_id: UUID | str) -> Claim:
    """Claim until this job comes; the others stay claimed."""
    while True:
        (claimed,) = await claim_jobs(database, worker_id=uuid4(), limit=1, lease_s=600)
        if claimed.id == UUID(str(job_id)):
            return claimed


async def settle(database: Database, claimed: Claim, outcome: Outcome) -> None:
    recorded = await record_outcomes(database, [Ending(claimed.id, claimed.lease, outcome)])
    assert claimed.lease in recorded


async def make_ready(database: Database, ingest_job: str) -> None:
    """Let the ingest job of this link end well: two columns, two rows."""
    found = Ingested(columns=COLUMNS, rows_read=2, rows_loaded=2, rows_rejected=0, profile=msgspec.Raw(b'{"rows": 2}'))
    made = Manifest(bucket="datasets", prefix="x/parts/1/", files=())
    await settle(database, await claim(database, ingest_job.rpartition("/")[2]), Completed(made, found))


async def make_failed(database: Database, ingest_job: str) -> None:
    claimed = await claim(database, ingest_job.rpartition("/")[2])
    await settle(database, claimed, Failed(BadData("The file has no rows.").problem()))


async def complete(
    database: Database, store: ObjectStore, settings: Settings, job_id: str, *, fitted: bytes | None = None
) -> Manifest:
    """Let the job end with a table in the bucket, and a report and a `fitted.json` if one is given in its manifest."""
    claimed = await claim(database, job_id)
    bucket, prefix = settings.s3_job_results_bucket, result_prefix(job_id, claimed.lease)
    stored = await store.put(bucket, f"{prefix}t.parquet", TABLE, PARQUET)
    table = StoredFile(stored.key, "t.parquet", PARQUET, stored.size_bytes, stored.sha256, 2)
    files = [held_file(f"{prefix}report.json", "report.json", REPORT), table]
    files += [] if fitted is None else [held_file(f"{prefix}fitted.json", "fitted.json", fitted)]
    told = {"rows_in": 3, "rows_out": 2, "rows_dropped": 1}
    made = Manifest(bucket, prefix, tuple(files), **told, report=msgspec.Raw(REPORT), columns=COLUMNS)
    await settle(database, claimed, Completed(made))
    return made


async def make_readable(
    database: Database,
    store: ObjectStore,
    settings: Settings,
    dataset: dict[str, Any],
    *parts: pl.DataFrame,
    rejected: pl.DataFrame | None = None,
) -> Manifest:
    """Let the ingest of an uploaded dataset end with these parts, and the rows it rejected."""
    claimed = await claim(database, dataset["links"]["ingest_job"].rpartition("/")[2])
    prefix = ingest_prefix(dataset["id"], claimed.lease)
    tables = {part_name(ordinal): part for ordinal, part in enumerate(parts)}
    if rejected is not None:
        tables["rejected.parquet"] = rejected
    made = await _written(store, settings.s3_datasets_bucket, prefix, tables)
    rows, lost = sum(part.height for part in parts), 0 if rejected is None else rejected.height
    found = Ingested(
        columns=columns_of(parts[0]),
        rows_read=rows + lost,
        rows_loaded=rows,
        rows_rejected=lost,
        dialect=msgspec.Raw(b'{"format": "csv", "delimiter": ";"}'),
        profile=msgspec.Raw(b'{"rows": %d, "columns": [{"name": "a", "nulls": 0, "odd": [1]}]}' % rows),
        warnings=("a column has no name",),
    )
    await settle(database, claimed, Completed(made, found))
    return made


async def complete_with(
    database: Database, store: ObjectStore, settings: Settings, job_id: str, *parts: pl.DataFrame
) -> Manifest:
    """Let the job end with these tables."""
    claimed = await claim(database, job_id)
    prefix = result_prefix(job_id, claimed.lease)
    tables = {part_name(ordinal): part for ordinal, part in enumerate(parts)}
    made = await _written(store, settings.s3_job_results_bucket, prefix, tables)
    columns = columns_of(parts[0]) if parts else ()
    await settle(database, claimed, Completed(msgspec.structs.replace(made, columns=columns)))
    return made


def columns_of(frame: pl.DataFrame) -> tuple[Column, ...]:
    return tuple(Column(name, str(kind)) for name, kind in frame.schema.items())


async def _written(store: ObjectStore, bucket: str, prefix: str, tables: dict[str, pl.DataFrame]) -> Manifest:
    output = ObjectOutput(store, asyncio.get_running_loop(), bucket, prefix, hold=True)
    for name, table in tables.items():
        await asyncio.to_thread(output.table, name, table.lazy())
    await asyncio.to_thread(output.document, "report.json", REPORT, JSON)
    files = await asyncio.to_thread(output.finish)
    return Manifest(bucket, prefix, files, report=msgspec.Raw(REPORT))
