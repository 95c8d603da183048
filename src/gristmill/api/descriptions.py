"""JSON bodies of `POST /datasets`: the data itself is elsewhere, or is still to come."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

import msgspec
from litestar.openapi.spec import Example, OpenAPIFormat, OpenAPIMediaType, OpenAPIType, Schema
from msgspec import Meta

from gristmill.api import examples
from gristmill.api.bodies import decode_json
from gristmill.api.document import JsonObject
from gristmill.api.formats import MAX_NAME
from gristmill.api.submit import Label, LabelValue
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
Moment = Annotated[datetime, Meta(tz=True)]


class PresignedUpload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data is to be sent to the store, in parts."""

    name: Name
    upload: Literal["presigned"]
    size_bytes: Annotated[int, Meta(ge=1)]
    format: str | None = None
    options: JsonObject = JsonObject(b"{}")
    labels: Labels = msgspec.field(default_factory=dict)
    expires_at: Moment | None = None


class StoredObject(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data is an object in a bucket that the server may read."""

    name: Name
    source: Annotated[str, Meta(max_length=1100)]
    format: str | None = None
    options: JsonObject = JsonObject(b"{}")
    labels: Labels = msgspec.field(default_factory=dict)
    expires_at: Moment | None = None


class JobResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data is the rows that a finished job made."""

    name: Name
    from_job: UUID
    labels: Labels = msgspec.field(default_factory=dict)
    expires_at: Moment | None = None


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
    """The JSON bodies, and a JSON array as data, for the OpenAPI document."""
    text = Schema(type=OpenAPIType.STRING)
    shared = {
        "name": Schema(type=OpenAPIType.STRING, min_length=1, max_length=MAX_NAME),
        "labels": Schema(type=OpenAPIType.OBJECT, additional_properties=text, max_properties=MAX_LABELS),
        "expires_at": Schema(
            type=[OpenAPIType.STRING, OpenAPIType.NULL],
            format=OpenAPIFormat.DATE_TIME,
            description="When it is removed by itself, once no job needs it.",
        ),
    }
    read = {
        "format": Schema(type=OpenAPIType.STRING, description=f"One of {', '.join(FORMATS)}; default: by the name."),
        "options": Schema(type=OpenAPIType.OBJECT, description="Options for reading.", additional_properties=True),
    }
    size = Schema(type=OpenAPIType.INTEGER, minimum=1, description="The bytes that will be sent, exactly.")
    upload = {"upload": Schema(const="presigned"), "size_bytes": size}
    source = {"source": Schema(type=OpenAPIType.STRING, description="s3://bucket/key, of a bucket in SOURCE_BUCKETS.")}
    from_job = {"from_job": Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.UUID)}

    def told(kind: type, own: dict[str, Schema], *, needs: list[str]) -> Schema:
        return Schema(
            type=OpenAPIType.OBJECT,
            description=kind.__doc__,
            properties={**shared, **own},
            required=["name", *needs],
            additional_properties=False,
        )

    return OpenAPIMediaType(
        schema=Schema(
            one_of=[
                told(PresignedUpload, {**upload, **read}, needs=["upload", "size_bytes"]),
                told(StoredObject, {**source, **read}, needs=["source"]),
                told(JobResult, from_job, needs=["from_job"]),
                Schema(type=OpenAPIType.ARRAY, description="The data itself.", items=Schema()),
            ]
        ),
        examples={
            "presigned": Example(
                value={"name": "readings.csv", "format": "csv", "upload": "presigned", "size_bytes": 12_000_000}
            ),
            "source": Example(value={"name": "readings", "source": "s3://landing/2026/readings.csv.gz"}),
            "from_job": Example(value={"name": "clean readings", "from_job": str(examples.JOB_ID)}),
        },
    )
