"""What a job's params name besides its data, as it was when the job was submitted."""

from uuid import UUID

import msgspec


class DocumentSource(msgspec.Struct, frozen=True, tag="document"):
    """A document of the result of the job `id`: the object, and the SHA-256 of what it holds."""

    param: str
    id: UUID
    bucket: str
    key: str
    sha256: str


class DatasetSource(msgspec.Struct, frozen=True, tag="dataset"):
    """The rows of the dataset `id`, which never change while there are any."""

    param: str
    id: UUID


Source = DocumentSource | DatasetSource
Sources = tuple[Source, ...]

_decoder = msgspec.json.Decoder(Sources)


def sources(text: str | None) -> Sources:
    """Sources as they are stored."""
    return () if text is None else _decoder.decode(text)
