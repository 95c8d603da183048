"""The whole flow with a generated client alone: upload, wait, job, wait, result, download, a problem, cancel."""

import hashlib
import io
import sys
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

import httpx
from gristmill_client import AuthenticatedClient
from gristmill_client.api.datasets import create_dataset, get_dataset
from gristmill_client.api.jobs import cancel_job, get_job, get_result, list_result_rows, submit_job
from gristmill_client.models import (
    CreateDatasetFilesBody,
    Dataset,
    DatasetStatus,
    Job,
    JobStatus,
    MetricsJob,
    MetricsJobReuse,
    MetricsParams,
    NormalizeJob,
    NormalizeParams,
    NormalizeParamsMethod,
    NormalizeParamsScale,
    ProblemDetails,
    Result,
    RowPage,
)
from gristmill_client.types import File

CSV = b"city,temperature\nOslo,4.5\nLima,19\nCairo,31\n"
T = TypeVar("T")

client = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2])


def told(answer: object, kind: type[T]) -> T:
    assert isinstance(answer, kind), answer
    return answer


def settled(job_id: UUID) -> Job:
    for _ in range(12):
        job = told(get_job.sync(job_id, client=client, prefer="wait=10"), Job)
        if job.finished_at is not None:
            return job
    raise TimeoutError(job_id)


form = CreateDatasetFilesBody(file=File(io.BytesIO(CSV), "towns.csv", "text/csv"))
dataset = told(create_dataset.sync(client=client, body=form), Dataset)
assert dataset.sha256 == hashlib.sha256(CSV).hexdigest()
assert settled(UUID(dataset.links["ingest_job"].rpartition("/")[2])).status is JobStatus.COMPLETED
dataset = told(get_dataset.sync(dataset.id, client=client), Dataset)
assert (dataset.status, dataset.rows_loaded) == (DatasetStatus.READY, 3)

scale = NormalizeParamsScale(op="scale", method=NormalizeParamsMethod.MINMAX, columns=["temperature"])
wanted = NormalizeJob(kind="normalize", dataset_id=dataset.id, params=NormalizeParams(steps=[scale]))
job = settled(told(submit_job.sync(client=client, body=wanted), Job).id)
assert job.status is JobStatus.COMPLETED, job.error
result = told(get_result.sync(job.id, client=client), Result)
assert hashlib.sha256(httpx.get(result.url).content).hexdigest() == result.sha256
rows = told(list_result_rows.sync(job.id, client=client), RowPage)
assert rows.total_rows == 3

unknown = MetricsJob(kind="metrics", dataset_id=dataset.id, params=MetricsParams(columns=["humidity"]))
problem = told(submit_job.sync(client=client, body=unknown), ProblemDetails)
assert problem.status == 422
assert isinstance(problem.errors, list)
assert [fault.pointer for fault in problem.errors] == ["/params/columns/0"]

later = datetime(2999, 1, 1, tzinfo=UTC)
waiting = MetricsJob(kind="metrics", dataset_id=dataset.id, scheduled_at=later, reuse=MetricsJobReuse.NONE)
pending = told(submit_job.sync(client=client, body=waiting), Job)
assert told(cancel_job.sync(pending.id, client=client), Job).status is JobStatus.CANCELED
