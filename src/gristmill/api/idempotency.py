"""`Idempotency-Key`: a request that is sent again is answered as it was the first time, and creates nothing again."""

import hashlib
import re
from typing import Annotated, Any, TypeVar, cast

import msgspec
from litestar import Request
from litestar.enums import MediaType
from litestar.params import HeaderParameter

from gristmill.api.answers import Response
from gristmill.api.auth import Caller
from gristmill.db.engine import Database
from gristmill.db.idempotency import POINTER, FirstAnswer, RequestKey, find_answer
from gristmill.errors import Fault, InvalidRequest
from gristmill.settings import Settings

T = TypeVar("T")

KEY = re.compile(r"[!-~]{1,255}")
REPLAYED = {"Idempotent-Replayed": "true"}

IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        schema_extra={"pattern": f"^{KEY.pattern}$"},
        description=(
            "A name of your own for this request, a new UUID for one (1 to 255 printable characters). Sent again "
            "within 24 hours with the same payload, it creates nothing: the first answer comes again, with "
            "`Idempotent-Replayed: true`."
        ),
    ),
]


async def request_key(
    request: Request[Caller, Any, Any], given: str | None, settings: Settings, *, owner: str
) -> RequestKey | None:
    """The key of a request with a JSON body. Neither white space nor the order of names in the body matters.

    Raises InvalidRequest: the key can't be one.
    """
    if given is None:
        return None
    body = msgspec.json.decode(await request.body())
    return RequestKey(
        owner=owner,
        key=checked_key(given),
        payload_sha256=payload_digest(request.scope["path"], body),
        idle_s=idle_s(settings),
    )


def checked_key(given: str) -> str:
    """Raises InvalidRequest."""
    if not KEY.fullmatch(given):
        fault = Fault(POINTER, "It must have 1 to 255 printable ASCII characters and no spaces.")
        raise InvalidRequest("The Idempotency-Key does not fit.", errors=(fault,))
    return given


def payload_digest(path: str, payload: object) -> str:
    return hashlib.sha256(msgspec.json.encode([path, payload], order="sorted")).hexdigest()


def idle_s(settings: Settings) -> float:
    """How long an upload may be silent before its key is free. The sweep gives an upload up at the same time."""
    return settings.upload_idle_s * 2


async def first_answer(database: Database, key: RequestKey | None, kind: type[T]) -> Response[T] | None:
    """The answer to the first request with this key, to be sent again; None: nothing was asked so before.

    Raises KeyInUse, KeyReused.
    """
    found = None if key is None else await find_answer(database, key)
    return None if found is None else replay(found, kind)


def replay(found: FirstAnswer, kind: type[T]) -> Response[T]:
    """An answer as it was. `kind` says what its body is; it passes through as it is stored."""
    headers = {**REPLAYED, **({"Location": found.location} if found.location else {})}
    body = (found.body or "").encode()
    return cast("Response[T]", Response(body, status_code=found.status, headers=headers, media_type=MediaType.JSON))
