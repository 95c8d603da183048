"""JSON bodies of `POST /datasets`: the data itself is elsewhere, or is still to come."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

import msgspec
from litestar.openapi.spec import Example, OpenAPIMediaType, Reference, Schema
from msgspec import Meta

from gristmill.api import examples
from gristmill.api.bodies import decode_json
from gristmill.api.document import SCHEMAS, JsonObject, Moment
from gristmill.api.formats import MAX_NAME
from gristmill.api.submissions import Label, LabelValue
from gristmill.errors import Fault, InvalidRequest, TooLarge, UploadAborted
from gristmill.ingest.formats import FORMATS

if TYPE_CHECKING:
    from litestar.types import HTTPRequestEvent, Receive
    from litestar.types.asgi_types import ReceiveMessage

    from gristmill.api.upload import Patience

JSON_TYPE = "application/json"
SPACE = b" \t\r\n"
MAX_LABELS = 32
SOURCE = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>[^\0]{1,1024})")

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
Labels = Annotated[dict[Label, LabelValue], Meta(max_length=MAX_LABELS)]
Format = Annotated[str, Meta(description=f"One of {', '.join(FORMATS)}; default: by the name.")]
Options = Annotated[JsonObject, Meta(description="Options for reading.")]
Expiry = Annotated[Moment, Meta(description="When it is removed by itself, once no job needs it.")]


def _no_options() -> msgspec.Raw:
    return msgspec.Raw(b"{}")


class PresignedUpload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data is to be sent to the store, in parts."""

    name: Name
    upload: Literal["presigned"]
    size_bytes: Annotated[int, Meta(ge=1, description="The bytes that will be sent, exactly.")]
    format: Format | None = None
    options: Options = msgspec.field(default_factory=_no_options)
    labels: Labels = msgspec.field(default_factory=dict)
    expires_at: Expiry | None = None


class StoredObject(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data is an object in a bucket that the server may read."""

    name: Name
    source: Annotated[str, Meta(max_length=1100, description="s3://bucket/key, of a bucket in SOURCE_BUCKETS.")]
    format: Format | None = None
    options: Options = msgspec.field(default_factory=_no_options)
    labels: Labels = msgspec.field(default_factory=dict)
    expires_at: Expiry | None = None


class JobResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data is the rows that a finished job made."""

    name: Name
    from_job: UUID
    labels: Labels = msgspec.field(default_factory=dict)
    expires_at: Expiry | None = None


Description = PresignedUpload | StoredObject | JobResult
KINDS: dict[str, type[Description]] = {"upload": PresignedUpload, "source": StoredObject, "from_job": JobResult}


class Peeked:
    """A request's body whose beginning was looked at; who reads it gets all of it."""

    def __init__(self, receive: "Receive", messages: Sequence["HTTPRequestEvent"]) -> None:
        self._receive = receive
        self._messages = list(messages)
        self.start = b"".join(message["body"] for message in messages).lstrip(SPACE)[:1]

    async def receive(self) -> "ReceiveMessage":
        return self._messages.pop(0) if self._messages else await self._receive()

    async def whole(self, patience: "Patience", *, max_bytes: int) -> bytes:
        """Raises TooLarge, UploadAborted, UploadStalled."""
        body, more = bytearray(), True
        while more:
            message = await patience.wait_for(self.receive)
            if message["type"] != "http.request":
                raise UploadAborted("The connection was closed before the body was complete.")
            body += message["body"]
            more = message["more_body"]
            if len(body) > max_bytes:
                raise TooLarge("The body is larger than the limit for JSON bodies.")
        return bytes(body)


async def peek(receive: "Receive", patience: "Patience") -> Peeked:
    """Read up to the first sign that is no space. Raises UploadStalled; a client that is gone is told of later."""
    messages: list[HTTPRequestEvent] = []
    more = True
    while more:
        message = await patience.wait_for(receive)
        if message["type"] != "http.request":
            return Peeked(_again(message), messages)
        messages.append(message)
        more = message["more_body"] and not message["body"].strip(SPACE)
    return Peeked(receive, messages)


def _again(message: "ReceiveMessage") -> "Receive":
    async def receive() -> "ReceiveMessage":
        return message

    return receive


def decode_description(body: bytes) -> Description:
    """Which of the three it is, told by the field that only it has. Raises InvalidRequest, MalformedRequest."""
    fields = decode_json(body, dict[str, msgspec.Raw])
    found = [kind for field, kind in KINDS.items() if field in fields]
    if len(found) != 1:
        fault = Fault("", f"It must have one of {', '.join(KINDS)}. A dataset itself is a JSON array, not an object.")
        raise InvalidRequest("The body does not say where the data comes from.", errors=(fault,))
    return decode_json(body, found[0])


def documented_descriptions() -> OpenAPIMediaType:
    """The JSON bodies for the OpenAPI document.

    That an array is data itself is told in words: of a choice between objects and an array openapi-python-client makes
    a call that fails, and programs have better types for data.
    """
    return OpenAPIMediaType(
        schema=Schema(one_of=[Reference(ref=SCHEMAS + kind.__name__) for kind in KINDS.values()]),
        examples={
            "presigned": Example(
                value={"name": "readings.csv", "format": "csv", "upload": "presigned", "size_bytes": 12_000_000}
            ),
            "source": Example(value={"name": "readings", "source": "s3://landing/2026/readings.csv.gz"}),
            "from_job": Example(value={"name": "clean readings", "from_job": str(examples.JOB_ID)}),
        },
    )
