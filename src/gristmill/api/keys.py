"""API keys: who may use this, and for what. An admin makes, looks at, rotates and revokes those of all owners.

A secret is in the answer to who made it, once, and nowhere else: what is kept for an Idempotency-Key lacks it too.
"""

from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

import msgspec
from litestar import Request, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.openapi.spec import Example
from litestar.params import BodyKwarg, PathParameter, QueryParameter
from msgspec import Meta

from gristmill.api import examples
from gristmill.api.answers import Response
from gristmill.api.auth import Caller, Gate
from gristmill.api.document import Moment
from gristmill.api.expiry import checked_expiry
from gristmill.api.idempotency import IdempotencyKey, first_answer, request_key
from gristmill.api.paging import Cursor, Limit, Paging, checked_text
from gristmill.api.problems import documented
from gristmill.db import keyring
from gristmill.db.engine import Database
from gristmill.db.idempotency import creating
from gristmill.db.keyring import TOP, Asking, KeyRow
from gristmill.domain.key import MAX_NAME, ApiKey, KeyStatus, Scope, Token, make_key, make_token
from gristmill.errors import Conflict, Fault, InvalidRequest, NotFound, Unauthorized
from gristmill.settings import Settings
from gristmill.telemetry import get_logger

log = get_logger(__name__)

MAX_OWNER = 200
DAY_S = 24 * 3600
MAX_OVERLAP_S = 90 * DAY_S
# Who rotates the key that is in use, and loses the answer, has an hour to rotate the new one with it.
OWN_OVERLAP_S = 3600

KeyId = Annotated[
    str, PathParameter(max_length=100, description="The key's id.", examples=[Example(value=examples.KEY_ID)])
]
OfOwner = Annotated[
    str | None, QueryParameter(name="owner", max_length=MAX_OWNER, description="Keys of this owner alone.")
]
OfStatus = Annotated[KeyStatus | None, QueryParameter(description="Keys of this status alone.")]
Expiry = Annotated[Moment, Meta(description="When it expires by itself; null: never.")]
EXAMPLE = {"owner": "ann", "name": "nightly import", "scopes": ["read", "write"], "expires_at": "2099-01-01T00:00:00Z"}


class KeyRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to make. `read` looks, `write` submits and removes, `admin` does both, of one owner, and what is of all."""

    owner: Annotated[
        str, Meta(min_length=1, max_length=MAX_OWNER, description="Whose datasets and jobs the key reaches.")
    ]
    name: Annotated[str, Meta(max_length=MAX_NAME, description="What it is for, for people to read.")] = ""
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1, max_length=len(Scope))] = (Scope.READ, Scope.WRITE)
    expires_at: Expiry | None = None


class RotationRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a key is to be rotated. Without `expires_at` the new one expires when the old one would have."""

    overlap_s: Annotated[
        int,
        Meta(
            ge=0, le=MAX_OVERLAP_S, description="Seconds that the old key stays valid; 3600 or more for the one in use."
        ),
    ] = DAY_S
    expires_at: Expiry | msgspec.UnsetType | None = msgspec.UNSET


class KeyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A key, without its secret. `last_used_at` is known to the hour; `replaced_by` is the key it was rotated to."""

    id: str
    owner: str
    name: str
    scopes: tuple[Scope, ...]
    status: KeyStatus
    created_at: Moment
    expires_at: Moment | None
    last_used_at: Moment | None
    revoked_at: Moment | None
    replaced_by: str | None


class NewKey(KeyInfo, frozen=True, kw_only=True):
    """A key and, this once, what to send as `Authorization: Bearer`. Null in the answer to a request that is sent again
    (`Idempotent-Replayed`): it is kept nowhere. If the first answer was lost, rotate this key.
    """

    key: str | None


class RotatedKey(NewKey, frozen=True, kw_only=True):
    """The new key, and the one that it takes over from as that is now: it is valid until its `expires_at`."""

    replaces: KeyInfo


Told = TypeVar("Told", bound=NewKey)


class KeyPage(msgspec.Struct, frozen=True):
    """Keys, newest first. `next` is the cursor of the next page; absent on the last."""

    items: tuple[KeyInfo, ...]
    next: str | msgspec.UnsetType = msgspec.UNSET


class WhoAmI(msgspec.Struct, frozen=True):
    """Whose datasets and jobs a request reaches, and what it may do. `key_id` null: there are no keys yet."""

    owner: str
    scopes: tuple[Scope, ...]
    key_id: str | None


@get(
    "/whoami",
    operation_id="whoAmI",
    summary="Look at who asks",
    tags=["Keys"],
    responses=documented(),
    response_description="The owner and the scopes of the key that is sent.",
)
async def who_am_i(caller: NamedDependency[Caller]) -> WhoAmI:
    return WhoAmI(caller.owner, _ordered(caller.scopes), caller.key_id)


@post(
    status_code=201,
    operation_id="createKey",
    summary="Make a key",
    responses=documented(400, 409, 413, 415, 422),
    response_description="Made. `Location` is the key; what to send is shown in this answer alone.",
)
async def create_key(
    data: Annotated[
        KeyRequest,
        BodyKwarg(media_type=RequestEncodingType.JSON, examples=[Example(value=EXAMPLE, summary="A key of ann's")]),
    ],
    request: Request[Caller, None, State],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    caller: NamedDependency[Caller],
    idempotency_key: IdempotencyKey = None,
) -> Response[NewKey]:
    """Of any owner, so whoever may make keys can reach what is anybody's; the audit trail says who did.

    Where there are no keys yet, this makes the first one, which must have the scope admin: from then on every request
    needs a key. What was there before is the owner `local`'s.
    """
    key = await request_key(request, idempotency_key, settings, owner=caller.owner)
    if (first := await first_answer(database, key, NewKey)) is not None:
        return first
    _check(data, caller)
    expires_at = checked_expiry(data.expires_at)
    token, new = make_key(data.owner, _ordered(data.scopes), expires_at=expires_at, name=data.name)
    if key is None:
        made = await _created(database, new, caller)
    else:
        async with creating(database, key) as creation:
            made = await _created(creation, new, caller)
            await creation.answered(status=201, location=_path(made), body=msgspec.json.encode(made))
    gate = _gate(request)
    gate.close()
    log.info("key.created", key_id=made.id, asked_by=caller.key_id)
    gate.keys_changed()
    return _secret(msgspec.structs.replace(made, key=token))


async def _created(asking: Asking, new: ApiKey, caller: Caller) -> NewKey:
    """The key, without what to send. Raises Unauthorized: the caller's own was revoked just now, or there is a first
    key by now.
    """
    row = await keyring.create_key(asking, new, asked_by=caller.key_id)
    if row is None:
        raise Unauthorized("A valid API key is needed by now.")
    return NewKey(**_shown(row), key=None)


@get(
    operation_id="listKeys",
    summary="List keys",
    responses=documented(400, 422),
    response_description="A page of keys, newest first, without their secrets.",
)
async def list_all_keys(
    database: NamedDependency[Database],
    caller: NamedDependency[Caller],
    limit: Limit = 50,
    cursor: Cursor = None,
    of_owner: OfOwner = None,
    status: OfStatus = None,
) -> Response[KeyPage]:
    """Of all owners. Keys that are expired or revoked stay in the list."""
    filters = {"owner": checked_text(of_owner, "/query/owner"), "status": status}
    paging = Paging(of="keys", path="/keys", owner=caller.owner, limit=limit, cursor=cursor, filters=filters)
    rows = await keyring.list_keys(
        database,
        asked_by=caller.key_id,
        limit=paging.rows,
        below=min(TOP, paging.first(TOP)),
        owner=of_owner,
        status=status,
    )
    told = rows[:limit]
    following = paging.following(told[-1].number if len(rows) > limit else None)
    return Response(KeyPage(tuple(map(_key, told)), following), headers=paging.headers(following))


@get(
    "/{key_id:str}",
    operation_id="getKey",
    summary="Look at a key",
    responses=documented(404, 422),
    response_description="The key, without its secret.",
)
async def look_at_key(key_id: KeyId, database: NamedDependency[Database], caller: NamedDependency[Caller]) -> KeyInfo:
    return _key(await _found(database, key_id, caller))


@post(
    "/{key_id:str}/revoke",
    status_code=200,
    operation_id="revokeKey",
    summary="Revoke a key",
    responses=documented(404, 409, 422),
    response_description="The key. It is refused from the next request on, and what it was following ends.",
)
async def revoke_key(
    key_id: KeyId,
    request: Request[Caller, None, State],
    database: NamedDependency[Database],
    caller: NamedDependency[Caller],
) -> KeyInfo:
    """Not the key that the request is made with (409), so that an admin is always left: rotate that one, and revoke it
    with its successor. A key that is revoked already stays as it is.
    """
    if key_id == caller.key_id:
        raise Conflict("The request is made with this key. Rotate it, and revoke it with the new one.")
    row = await keyring.revoke_key(database, _checked(key_id), asked_by=caller.key_id)
    if row is None:
        raise NotFound("There is no such key.")
    log.info("key.revoked", key_id=row.id, asked_by=caller.key_id)
    _gate(request).keys_changed()
    return _key(row)


@post(
    "/{key_id:str}/rotate",
    status_code=201,
    operation_id="rotateKey",
    summary="Rotate a key",
    responses=documented(400, 404, 409, 413, 415, 422),
    response_description="A new key that takes over. `Location` is it; what to send is shown in this answer alone.",
)
async def rotate_key(
    key_id: KeyId,
    data: Annotated[
        RotationRequest,
        BodyKwarg(
            media_type=RequestEncodingType.JSON, examples=[Example(value={"overlap_s": DAY_S}, summary="Within a day")]
        ),
    ],
    request: Request[Caller, None, State],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    caller: NamedDependency[Caller],
    idempotency_key: IdempotencyKey = None,
) -> Response[RotatedKey]:
    """With the owner, name and scopes of the old key, which stays valid for `overlap_s` seconds, if it has so long."""
    key = await request_key(request, idempotency_key, settings, owner=caller.owner)
    if (first := await first_answer(database, key, RotatedKey)) is not None:
        return first
    _checked(key_id)
    if key_id == caller.key_id and data.overlap_s < OWN_OVERLAP_S:
        fault = Fault("/overlap_s", f"The key in use stays valid for {OWN_OVERLAP_S} seconds at least.")
        raise InvalidRequest("The overlap does not fit.", errors=(fault,))
    if not isinstance(data.expires_at, msgspec.UnsetType):
        checked_expiry(data.expires_at)
    token = make_token()
    if key is None:
        made = await _rotated(database, key_id, data, token, caller)
    else:
        async with creating(database, key) as creation:
            made = await _rotated(creation, key_id, data, token, caller)
            await creation.answered(status=201, location=_path(made), body=msgspec.json.encode(made))
    log.info("key.rotated", key_id=key_id, asked_by=caller.key_id)
    _gate(request).keys_changed()
    return _secret(msgspec.structs.replace(made, key=token.text))


async def _rotated(asking: Asking, key_id: str, data: RotationRequest, token: Token, caller: Caller) -> RotatedKey:
    """The new key, without what to send."""
    told = await keyring.rotate_key(
        asking, key_id, token, asked_by=caller.key_id, overlap_s=data.overlap_s, expires_at=data.expires_at
    )
    if told is None:
        known = await _found(asking, key_id, caller)
        if known.replaced_by is not None:
            raise Conflict(f"The key was rotated already, to {known.replaced_by}.")
        raise Conflict(f"The key is {known.status.value}.")
    new, old = told
    return RotatedKey(**_shown(new), key=None, replaces=_key(old))


def _gate(request: Request[Caller, None, State]) -> Gate:
    gate: Gate = request.app.state.gate
    return gate


def _check(data: KeyRequest, caller: Caller) -> None:
    """Raises InvalidRequest."""
    faults = []
    if not data.owner.isprintable() or data.owner != data.owner.strip():
        faults.append(Fault("/owner", "It must be of printable characters, with no space at its ends."))
    if caller.key_id is None and Scope.ADMIN not in data.scopes:
        faults.append(Fault("/scopes", "The first key must have the scope admin, or nobody could make another one."))
    if faults:
        raise InvalidRequest("The key does not fit.", errors=tuple(faults))


async def _found(asking: Asking, key_id: str, caller: Caller) -> KeyRow:
    row = await keyring.get_key(asking, _checked(key_id), asked_by=caller.key_id)
    if row is None:
        raise NotFound("There is no such key.")
    return row


def _checked(key_id: str) -> str:
    checked_text(key_id, "/path/key_id")
    return key_id


def _ordered(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    """Each once, the least first."""
    given = set(scopes)
    return tuple(scope for scope in Scope if scope in given)


def _key(row: KeyRow) -> KeyInfo:
    return KeyInfo(**_shown(row))


def _shown(row: KeyRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in KeyInfo.__struct_fields__}


def _path(key: KeyRow | KeyInfo) -> str:
    return f"/keys/{key.id}"


def _secret(made: Told) -> Response[Told]:
    """The answer that has a secret; no cache may keep it."""
    return Response(made, headers={"Location": _path(made), "Cache-Control": "no-store"})


def routes() -> list[Any]:
    handlers = [create_key, list_all_keys, look_at_key, revoke_key, rotate_key]
    return [Router("/keys", route_handlers=handlers, tags=["Keys"]), who_am_i]
