"""What the params of jobs name: documents of other jobs' results, and other datasets. Looked up within an owner."""

from collections.abc import Iterable, Mapping
from uuid import UUID

import msgspec

from gristmill.db.rows import DatasetRow, JobRow
from gristmill.domain.column import Column
from gristmill.domain.dataset import DatasetStatus
from gristmill.domain.job import JobStatus
from gristmill.domain.manifest import StoredFile
from gristmill.domain.reuse import dataset_digest
from gristmill.domain.source import DatasetSource, DocumentSource, Sources
from gristmill.errors import Fault, InvalidRequest, NotFound, TooLarge
from gristmill.objects import ObjectStore
from gristmill.processors.naming import OtherDataset, ResultDocument, given

# They are held in memory and read as a whole while a request is checked.
MOST_DOCUMENT_BYTES = 16 * 1024 * 1024

Documents = Mapping[tuple[UUID, str], bytes]


class LookedUp(msgspec.Struct, frozen=True):
    """What the params of one job name, by param: documents, columns of datasets, and the digest of each."""

    sources: Sources
    documents: Mapping[str, bytes]
    others: Mapping[str, tuple[Column, ...]]
    digests: Mapping[str, str]

    def canonical(self, params: bytes) -> bytes:
        """The params with what is named as its digest: the same content is the same work, whoever made it."""
        if not self.digests:
            return params
        plain = msgspec.json.decode(params)
        return msgspec.json.encode(plain | {name: {"sha256": digest} for name, digest in self.digests.items()})


def datasets_of(several: Iterable[msgspec.Struct]) -> set[UUID]:
    """The datasets that these params name."""
    return {id_ for params in several for id_, named in given(params).values() if isinstance(named, OtherDataset)}


def documents_of(several: Iterable[msgspec.Struct]) -> set[tuple[UUID, str]]:
    """The jobs that these params name, and the documents of their results."""
    return {
        (id_, named.name)
        for params in several
        for id_, named in given(params).values()
        if isinstance(named, ResultDocument)
    }


async def read_documents(
    store: ObjectStore, wanted: Iterable[tuple[UUID, str]], jobs: Mapping[UUID, JobRow]
) -> Documents:
    """Those of the documents that are there.

    Raises:
        TooLarge: together they are more than `MOST_DOCUMENT_BYTES`.
        StoreUnavailable
    """
    found = {(id_, name): file for id_, name in wanted if (file := _document(jobs.get(id_), name)) is not None}
    if sum(file.size_bytes for file in found.values()) > MOST_DOCUMENT_BYTES:
        raise TooLarge(f"The documents that params name may have {MOST_DOCUMENT_BYTES} bytes together.")
    read: dict[tuple[UUID, str], bytes] = {}
    for place, file in found.items():
        manifest = jobs[place[0]].manifest
        assert manifest is not None  # noqa: S101 (its file was found)
        # The worker reads the object.
        await store.settle(manifest.bucket, [file])
        try:
            read[place] = await store.read(manifest.bucket, file.key)
        except NotFound:  # removed since its row was read
            continue
    return read


def look_up(
    params: msgspec.Struct, *, jobs: Mapping[UUID, JobRow], datasets: Mapping[UUID, DatasetRow], documents: Documents
) -> LookedUp:
    """What these params name. Raises InvalidRequest, pointing at the param whose job or dataset does not do."""
    sources: list[DocumentSource | DatasetSource] = []
    contents: dict[str, bytes] = {}
    others: dict[str, tuple[Column, ...]] = {}
    digests: dict[str, str] = {}
    for name, (id_, named) in given(params).items():
        if isinstance(named, OtherDataset):
            dataset = _ready(name, datasets.get(id_))
            sources.append(DatasetSource(name, id_))
            others[name] = dataset.columns or ()
            # A dataset whose bytes have no digest is the same as itself alone.
            read = dataset.sha256 or str(dataset.id)
            digests[name] = dataset_digest(sha256=read, data_format=dataset.format, options=bytes(dataset.options))
            continue
        job = _completed(name, jobs.get(id_))
        file = _document(job, named.name)
        content = documents.get((id_, named.name))
        if file is None or content is None or job.manifest is None:
            raise _refused(name, f"Its result has no {named.name}.")
        sources.append(DocumentSource(name, id_, job.manifest.bucket, file.key, file.sha256))
        contents[name], digests[name] = content, file.sha256
    return LookedUp(tuple(sources), contents, others, digests)


def _document(job: JobRow | None, name: str) -> StoredFile | None:
    files = () if job is None or job.manifest is None else job.manifest.files
    return next((file for file in files if file.name == name and file.rows is None), None)


def _completed(param: str, job: JobRow | None) -> JobRow:
    if job is None:
        raise _refused(param, "There is no such job.")
    if job.status is not JobStatus.COMPLETED:
        raise _refused(param, f"The job is {job.status.value}: it must be completed before.")
    return job


def _ready(param: str, dataset: DatasetRow | None) -> DatasetRow:
    if dataset is None:
        raise _refused(param, "There is no such dataset.")
    if dataset.status is not DatasetStatus.READY:
        raise _refused(param, f"The dataset is {dataset.status.value}: it must be ready before.")
    return dataset


def _refused(param: str, detail: str) -> InvalidRequest:
    return InvalidRequest("What the params name can't be used.", errors=(Fault(f"/params/{param}", detail),))
