"""What a job made: its files, each with a URL that downloads it, and its report."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter

from gristmill.api.answers import Response
from gristmill.api.auth import Caller
from gristmill.api.document import JobId, JsonObject, Moment
from gristmill.api.jobs import found_job, retry_after
from gristmill.api.problems import ProblemDetails, answer, details, documented, job_details
from gristmill.db.engine import Database
from gristmill.db.rows import JobRow
from gristmill.domain.job import JobStatus
from gristmill.domain.manifest import Manifest, StoredFile
from gristmill.errors import JobCanceled, ResultNotReady
from gristmill.objects import ObjectStore
from gristmill.settings import Settings


class ResultFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file. `url` downloads it without a key until `url_expires_at`; `sha256` is in hex."""

    name: str
    uri: str
    url: str
    url_expires_at: Moment
    media_type: str
    size_bytes: int
    sha256: str
    rows: int | None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A completed job's result. The first fields are those of its main file: the first table, else the report."""

    job_id: UUID
    uri: str
    url: str
    url_expires_at: Moment
    media_type: str
    size_bytes: int
    sha256: str
    rows: int | None
    rows_in: int
    rows_out: int
    rows_dropped: int
    files: tuple[ResultFile, ...]
    report: JsonObject


@get(
    "/{job_id:uuid}/result",
    operation_id="getResult",
    summary="Get a job's result",
    responses={
        303: ResponseSpec(None, description="With `redirect=true`: `Location` downloads the main file."),
        **documented(404, 409, 413, 415, 422),
    },
    response_description="The result.",
)
async def get_result(
    *,
    request: Request[Caller, None, State],
    job_id: JobId,
    database: NamedDependency[Database],
    store: NamedDependency[ObjectStore],
    settings: NamedDependency[Settings],
    owner: NamedDependency[str],
    redirect: Annotated[bool, QueryParameter(description="Answer 303 to the URL of the main file.")] = False,
) -> Response[Result]:
    """While the job is not final: 409 `result-not-ready` with `Retry-After`. A failed or canceled job answers with
    its own problem.
    """
    row = await found_job(database, job_id, owner=owner)
    if row.manifest is None:
        # The document tells of the result; a problem is documented with the statuses.
        refusal: Response[Any] = without_result(row, request.scope["path"])
        return refusal
    main = main_file(row.manifest)
    await store.settle(row.manifest.bucket, [main] if redirect else row.manifest.files)
    if redirect:
        shown = await _signed(store, settings, row.manifest.bucket, main)
        away: Response[Any] = Response(None, status_code=303, headers={"Location": shown.url})
        return away
    files = tuple([await _signed(store, settings, row.manifest.bucket, file) for file in row.manifest.files])
    return Response(_result(row.id, row.manifest, files, files[row.manifest.files.index(main)]))


def main_file(manifest: Manifest) -> StoredFile:
    """The file that most people want: the first table, else the first file."""
    tables = [file for file in manifest.files if file.rows is not None]
    return (tables or list(manifest.files))[0]


def _result(job_id: UUID, manifest: Manifest, files: tuple[ResultFile, ...], main: ResultFile) -> Result:
    return Result(
        job_id=job_id,
        uri=main.uri,
        url=main.url,
        url_expires_at=main.url_expires_at,
        media_type=main.media_type,
        size_bytes=main.size_bytes,
        sha256=main.sha256,
        rows=main.rows,
        rows_in=manifest.rows_in,
        rows_out=manifest.rows_out,
        rows_dropped=manifest.rows_dropped,
        files=files,
        report=manifest.report,
    )


async def _signed(store: ObjectStore, settings: Settings, bucket: str, file: StoredFile) -> ResultFile:
    url, expires_at = await store.presign_get(bucket, file.key, filename=file.name, ttl_s=settings.presign_ttl_s)
    return ResultFile(
        name=file.name,
        uri=f"s3://{bucket}/{file.key}",
        url=url,
        url_expires_at=expires_at,
        media_type=file.media_type,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        rows=file.rows,
    )


def without_result(row: JobRow, path: str) -> Response[ProblemDetails]:
    """The answer where a job has no result, or none yet."""
    if not row.status.final:
        waiting = ResultNotReady(f"The job is {row.status.value}.").problem()
        return answer(details(waiting, instance=path), headers=retry_after(row))
    if row.status is JobStatus.FAILED and row.error is not None:
        return answer(job_details(row.error, instance=f"/jobs/{row.id}"))
    canceled = JobCanceled("The job was canceled; it has no result.").problem()
    return answer(details(canceled, instance=f"/jobs/{row.id}"))
