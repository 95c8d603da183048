"""Datasets that are described instead of sent: what a JSON body of `POST /datasets` says is done here."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import msgspec

from gristmill.api.answers import Response
from gristmill.api.descriptions import (
    SOURCE,
    Description,
    JobResult,
    PresignedUpload,
    StoredObject,
    decode_description,
)
from gristmill.api.expiry import checked_expiry
from gristmill.api.formats import checked_name, describe
from gristmill.api.idempotency import REPLAYED, checked_key, idle_s, payload_digest, replay
from gristmill.api.presigned import Upload, begin_upload, begun, shown_upload
from gristmill.db.datasets import FirstJob
from gristmill.db.described import NewDataset, add_dataset
from gristmill.db.engine import Database
from gristmill.db.idempotency import FirstAnswer, RequestKey, find_answer, note_body
from gristmill.db.jobs import get_job
from gristmill.db.presigned import get_presigned
from gristmill.db.rows import JobRow
from gristmill.domain.dataset import DataFormat, Source
from gristmill.domain.job import JobStatus
from gristmill.domain.manifest import PARQUET
from gristmill.errors import (
    BadData,
    Fault,
    InputFailed,
    InvalidRequest,
    NotFound,
    ResultNotReady,
    TooLarge,
)
from gristmill.objects import ObjectStore
from gristmill.settings import Settings


@dataclass(frozen=True)
class Made:
    """A dataset that was made, now or (`again`) by the first request with this key."""

    dataset_id: UUID
    key: RequestKey | None
    again: bool


class Ways:
    """The ways in that no bytes come by."""

    def __init__(self, settings: Settings, database: Database, store: ObjectStore, *, owner: str) -> None:
        self._settings = settings
        self._database = database
        self._store = store
        self._owner = owner

    async def take(self, body: bytes, *, first_job: FirstJob | None, given_key: str | None) -> Made | Response[Any]:
        """Do what the body says. Answers the dataset, or all of the answer where there is none yet, or there was one.

        Raises:
            MalformedRequest, InvalidRequest, UnsupportedFormat, TooLarge, BadData: it does not fit.
            NotFound, ResultNotReady, InputFailed: there is no such job of this owner, or no result of it.
            KeyInUse, KeyReused: see `Idempotency-Key`.
        """
        description = decode_description(body)
        key = self._key(body, first_job, given_key)
        first = None if key is None else await find_answer(self._database, key)
        if first is not None:
            return await self._again(first, description, key)
        match description:
            case PresignedUpload():
                upload = await begin_upload(
                    self._database,
                    self._store,
                    self._settings,
                    description,
                    owner=self._owner,
                    first_job=first_job,
                    key=key,
                )
                if key is not None:
                    await note_body(self._database, key, upload.id, _without_urls(upload))
                return begun(upload)
            case StoredObject():
                new = await self._of_object(description)
            case JobResult():
                new = await self._of_result(description)
        made = await add_dataset(
            self._database,
            new,
            owner=self._owner,
            first_job=first_job,
            max_attempts=self._settings.max_attempts,
            timeout_s=self._settings.job_timeout_s,
            key=key,
        )
        if made is None:
            raise NotFound("There is no such job any more.")
        return Made(made, key, again=False)

    def _key(self, body: bytes, first_job: FirstJob | None, given: str | None) -> RequestKey | None:
        if given is None:
            return None
        payload = payload_digest("/datasets", [msgspec.json.decode(body), first_job.kind if first_job else None])
        return RequestKey(
            owner=self._owner, key=checked_key(given), payload_sha256=payload, idle_s=idle_s(self._settings)
        )

    async def _again(
        self, first: FirstAnswer, description: Description, key: RequestKey | None
    ) -> Made | Response[Any]:
        """The first answer. An upload under way gets fresh URLs: those of the first answer may be over."""
        if isinstance(description, PresignedUpload) and first.upload_id is not None:
            row = await get_presigned(self._database, first.upload_id, owner=self._owner)
            if row is not None:
                answer = begun(await shown_upload(self._store, self._settings, row))
                answer.headers.update(REPLAYED)
                return answer
        if first.body is None and first.upload_id is not None:
            return Made(first.upload_id, key, again=True)
        return replay(first, Upload)

    async def _of_object(self, description: StoredObject) -> NewDataset:
        found = SOURCE.fullmatch(description.source)
        if found is None:
            raise _no_source("It must look like s3://bucket/key.")
        bucket, key = found["bucket"], found["key"]
        if not self._settings.may_read(bucket, key):
            raise _no_source("Objects of this place are not taken; the server's SOURCE_BUCKETS names those that are.")
        try:
            there = await self._store.look(bucket, key)
        except NotFound:
            raise _no_source("There is no such object.") from None
        if there.size_bytes == 0:
            raise BadData("empty file")
        if there.size_bytes > self._settings.max_upload_bytes:
            raise TooLarge(f"A dataset may have {self._settings.max_upload_bytes} bytes at most.")
        described = describe(
            name=description.name,
            filename=PurePosixPath(key).name,
            told=description.format,
            media_type="",
            options=bytes(description.options),
        )
        return NewDataset(
            name=described.name,
            data_format=described.data_format,
            media_type=described.media_type,
            size_bytes=there.size_bytes,
            options=described.options,
            labels=description.labels,
            expires_at=checked_expiry(description.expires_at),
            source=Source(bucket, key, there.etag),
        )

    async def _of_result(self, description: JobResult) -> NewDataset:
        job = await get_job(self._database, description.from_job, owner=self._owner)
        if job is None:
            raise NotFound("There is no such job.")
        return NewDataset(
            name=checked_name(description.name),
            data_format=DataFormat.PARQUET,
            media_type=PARQUET,
            size_bytes=_table_bytes(job),
            options=b"{}",
            labels=description.labels,
            expires_at=checked_expiry(description.expires_at),
            from_job=job.id,
        )


def _table_bytes(job: JobRow) -> int:
    """The size of a job's tables. Raises ResultNotReady, InputFailed, InvalidRequest: it has none."""
    if not job.status.final:
        raise ResultNotReady(f"The job is {job.status.value}.")
    if job.status is not JobStatus.COMPLETED or job.manifest is None:
        raise InputFailed(f"The job is {job.status.value}: it has no result.")
    tables = [file for file in job.manifest.files if file.media_type == PARQUET]
    if not tables or not job.manifest.columns:
        fault = Fault("/from_job", f"A job of kind {job.kind} makes no rows.")
        raise InvalidRequest("The result of that job is not a table.", errors=(fault,))
    return sum(file.size_bytes for file in tables)


def _no_source(detail: str) -> InvalidRequest:
    return InvalidRequest("The source can't be taken.", errors=(Fault("/source", detail),))


def _without_urls(upload: Upload) -> bytes:
    # Who sends the key again gets fresh ones; they open the store to anybody, so they are not kept.
    return msgspec.json.encode(msgspec.structs.replace(upload, parts=()))
