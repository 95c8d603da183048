"""Taking away what users do not want any more: rows first, then their objects."""

from typing import Annotated

from litestar import delete
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from gristmill.api.auth import Caller
from gristmill.api.conditions import IfMatch, check_match
from gristmill.api.datasets import dataset_of, validators
from gristmill.api.document import DatasetId, JobId
from gristmill.api.problems import documented
from gristmill.db.engine import Database
from gristmill.db.removal import remove_dataset, remove_job
from gristmill.db.rows import DatasetRow
from gristmill.domain.manifest import dataset_prefix, result_prefix
from gristmill.errors import NotFound, StoreUnavailable
from gristmill.objects import ObjectStore
from gristmill.settings import Settings
from gristmill.telemetry import get_logger

log = get_logger(__name__)


@delete(
    "/{job_id:uuid}",
    operation_id="deleteJob",
    summary="Remove a job",
    responses=documented(404, 409),
    response_description="It is gone, with its history and its result.",
)
async def delete_job(
    job_id: JobId,
    database: NamedDependency[Database],
    store: NamedDependency[ObjectStore],
    settings: NamedDependency[Settings],
    caller: NamedDependency[Caller],
) -> None:
    """A final job goes, with its history and the objects of its result; not while another job shares or needs them."""
    removed = await remove_job(database, job_id, owner=caller.owner, key_id=caller.key_id)
    if removed is None:
        raise NotFound("There is no such job.")
    log.info("job.deleted", job_id=str(job_id), key_id=caller.key_id)
    for lease in removed.leases:
        # For those who have its URL still. What can't be removed now is noted already, and the sweep finds it.
        try:
            await store.delete_prefix(settings.s3_job_results_bucket, result_prefix(str(job_id), lease))
        except StoreUnavailable as error:
            log.warning("job.left_objects", job_id=str(job_id), lease=lease, error=error.code)


@delete(
    "/{dataset_id:uuid}",
    operation_id="deleteDataset",
    summary="Remove a dataset",
    responses=documented(404, 409, 412, 422),
    response_description="It is gone, with its objects.",
)
async def delete_dataset(
    dataset_id: DatasetId,
    database: NamedDependency[Database],
    store: NamedDependency[ObjectStore],
    settings: NamedDependency[Settings],
    caller: NamedDependency[Caller],
    *,
    force: Annotated[bool, QueryParameter(description="Cancel the jobs on it that are not final.")] = False,
    if_match: IfMatch = None,
) -> None:
    """The dataset goes, with all that was stored of it. Its finished jobs stay, with their results.

    With `If-Match` it stays if somebody has changed it meanwhile, or its ingest has.
    """

    def check(row: DatasetRow) -> None:
        check_match(if_match, validators(dataset_of(row))["ETag"])

    checked = None if if_match is None else check
    removed = await remove_dataset(
        database, dataset_id, owner=caller.owner, force=force, key_id=caller.key_id, check=checked
    )
    if not removed:
        raise NotFound("There is no such dataset.")
    log.info("dataset.deleted", dataset_id=str(dataset_id), key_id=caller.key_id)
    try:
        await store.delete_prefix(settings.s3_datasets_bucket, dataset_prefix(str(dataset_id)))
    except StoreUnavailable as error:
        log.warning("dataset.left_objects", dataset_id=str(dataset_id), error=error.code)
