"""What claimed jobs work on, read apart from the claim: many jobs share a dataset."""

from collections.abc import Iterable
from uuid import UUID

import asyncpg
import msgspec

from gristmill.db.engine import Database
from gristmill.db.rows import dataset_input, result_manifest
from gristmill.domain.dataset import DataFormat, DatasetInput
from gristmill.domain.job import Claim
from gristmill.domain.manifest import PARQUET
from gristmill.domain.source import DatasetSource

DATASETS = """
SELECT id, format, original_key, size_bytes, columns, manifest, rows_loaded, sha256, source
FROM datasets WHERE id = ANY ($1::uuid[])
"""
RESULTS = "SELECT id, dataset_id, manifest FROM jobs WHERE id = ANY ($1::uuid[]) AND status = 'completed'"

REMEMBERED = 256


class Inputs:
    """Looks up what jobs work on. A ready dataset never changes, so those used last are remembered."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ready: dict[UUID, DatasetInput] = {}

    async def of(self, claims: Iterable[Claim]) -> dict[UUID, DatasetInput]:
        """Job → its data. A job is missing when its dataset is, or when the job whose result it takes has none.

        Raises:
            DatabaseUnavailable
        """
        claims = list(claims)
        looked_up = {claim.id: await self._dataset(claim.dataset_id) for claim in claims if claim.input_job_id is None}
        found = {job_id: dataset for job_id, dataset in looked_up.items() if dataset is not None}
        results = {claim.input_job_id for claim in claims if claim.input_job_id is not None}
        if results:
            made = await self._results(results)
            # Of another dataset than that job was on, where it is to become one.
            found |= {
                claim.id: msgspec.structs.replace(made[claim.input_job_id], id=claim.dataset_id)
                for claim in claims
                if claim.input_job_id in made
            }
        return found

    async def others(self, claim: Claim) -> dict[str, DatasetInput] | None:
        """The datasets that a job's params name, by param; None when one of them was removed.

        Raises:
            DatabaseUnavailable
        """
        named = [source for source in claim.sources if isinstance(source, DatasetSource)]
        found: dict[str, DatasetInput] = {}
        for source in named:
            dataset = await self._dataset(source.id)
            if dataset is None or dataset.parts is None:
                return None
            found[source.param] = dataset
        return found

    async def _dataset(self, dataset_id: UUID) -> DatasetInput | None:
        if dataset_id not in self._ready:
            async with self._database.driver() as driver:
                record = await driver.fetchrow(DATASETS, [dataset_id])
            if record is None:
                return None
            dataset = dataset_input(dict(record))
            if dataset.parts is None:
                return dataset
            self._ready[dataset_id] = dataset
        self._ready[dataset_id] = self._ready.pop(dataset_id)
        while len(self._ready) > REMEMBERED:
            del self._ready[next(iter(self._ready))]
        return self._ready[dataset_id]

    async def _results(self, jobs: Iterable[UUID]) -> dict[UUID | None, DatasetInput]:
        async with self._database.driver() as driver:
            records = await driver.fetch(RESULTS, list(jobs))
        return {record["id"]: _result_input(record) for record in records}


def _result_input(record: asyncpg.Record) -> DatasetInput:
    """A job's result as the data of another: its tables are the parts."""
    made = result_manifest(record["manifest"])
    tables = tuple(file for file in made.files if file.media_type == PARQUET)
    return DatasetInput(
        id=record["dataset_id"],
        format=DataFormat.PARQUET,
        original_key="",
        size_bytes=sum(file.size_bytes for file in tables),
        columns=made.columns,
        parts=msgspec.structs.replace(made, files=tables, report=msgspec.Raw(b"{}")),
        rows=made.rows_out,
        derived=True,
    )
