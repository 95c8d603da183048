"""Where in the object store an attempt writes."""

from gristmill.domain.job import INGEST_KIND, Claim, ClaimedJob
from gristmill.domain.manifest import ingest_prefix, result_prefix
from gristmill.settings import Settings


def place_of(settings: Settings, *, kind: str, job_id: object, dataset_id: object, lease: int) -> tuple[str, str]:
    """The bucket and the prefix that an attempt writes to, and no other attempt can."""
    if kind == INGEST_KIND:
        return settings.s3_datasets_bucket, ingest_prefix(str(dataset_id), lease)
    return settings.s3_job_results_bucket, result_prefix(str(job_id), lease)


def place_of_job(settings: Settings, job: Claim | ClaimedJob) -> tuple[str, str]:
    return place_of(settings, kind=job.kind, job_id=job.id, dataset_id=job.dataset_id, lease=job.lease)
