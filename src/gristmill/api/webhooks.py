"""Webhooks: where a user wants to be told of the end of jobs, and what was told there."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, Router, delete, get, patch, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.openapi.spec import Example
from litestar.params import BodyKwarg, PathParameter
from msgspec import Meta

from gristmill.api import examples
from gristmill.api.answers import Response
from gristmill.api.auth import Caller
from gristmill.api.document import Moment
from gristmill.api.idempotency import IdempotencyKey, first_answer, request_key
from gristmill.api.paging import Cursor, Limit, Paging
from gristmill.api.problems import documented
from gristmill.db import webhooks
from gristmill.db.engine import Database
from gristmill.db.idempotency import creating
from gristmill.db.webhooks import DeliveryRow, WebhookRow
from gristmill.domain.webhook import MAX_URL, DeliveryStatus, checked_url, is_secret, new_secret
from gristmill.errors import Fault, InvalidRequest, NotFound
from gristmill.settings import Settings

OVERLAP = timedelta(hours=24)

WebhookId = Annotated[
    UUID, PathParameter(description="The webhook's id.", examples=[Example(value=str(examples.WEBHOOK_ID))])
]
DeliveryId = Annotated[
    UUID, PathParameter(description="The delivery's id.", examples=[Example(value=str(examples.DELIVERY_ID))])
]
Url = Annotated[
    str, Meta(min_length=1, max_length=MAX_URL, description="An https URL.", extra_json_schema={"format": "uri"})
]
Secret = Annotated[
    str,
    Meta(
        max_length=100,
        description="`whsec_` and 24 to 64 bytes in base64; default: a new one.",
        extra_json_schema={"pattern": "^whsec_([A-Za-z0-9+/]{4}){8,21}$"},
    ),
]
EXAMPLE = {"url": "https://hooks.example.org/gristmill"}


class WebhookRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A webhook to make."""

    url: Url
    secret: Secret | None = None


class WebhookChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be another in a webhook. `paused` false also takes up one that was gone."""

    url: Url | msgspec.UnsetType = msgspec.UNSET
    paused: bool | msgspec.UnsetType = msgspec.UNSET


class SecretChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The secret to sign with from now on."""

    secret: Secret | None = None


class WebhookInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook. `disabled` says why nothing is sent: `paused` by its owner, or `gone` (the receiver answered 410).

    Until `old_secret_until`, what is sent is signed with the secret before the present one too.
    """

    id: UUID
    url: str
    disabled: Literal["paused", "gone"] | None
    old_secret_until: Moment | None
    created_at: Moment
    updated_at: Moment


class WebhookWithSecret(WebhookInfo, frozen=True, kw_only=True):
    """A webhook and its secret, which is shown this once."""

    secret: str


class WebhookPage(msgspec.Struct, frozen=True):
    """Webhooks, newest first. `next` is the cursor of the next page; absent on the last."""

    items: tuple[WebhookInfo, ...]
    next: str | msgspec.UnsetType = msgspec.UNSET


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a job, told at a webhook. `next_at` is when a pending one is tried next."""

    id: UUID
    job_id: UUID
    event_id: int
    status: DeliveryStatus
    attempts: int
    next_at: Moment | None
    response_status: int | None
    error: str | None
    created_at: Moment
    delivered_at: Moment | None


class DeliveryPage(msgspec.Struct, frozen=True):
    """Deliveries, newest first. `next` is the cursor of the next page; absent on the last."""

    items: tuple[Delivery, ...]
    next: str | msgspec.UnsetType = msgspec.UNSET


@post(
    status_code=201,
    operation_id="createWebhook",
    summary="Make a webhook",
    responses=documented(400, 409, 413, 415, 422),
    response_description="Made. `Location` is the webhook; the secret is shown in this answer alone.",
)
async def create_webhook(
    data: Annotated[
        WebhookRequest,
        BodyKwarg(media_type=RequestEncodingType.JSON, examples=[Example(value=EXAMPLE, summary="A receiver")]),
    ],
    request: Request[Caller, None, State],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    owner: NamedDependency[str],
    idempotency_key: IdempotencyKey = None,
) -> Response[WebhookWithSecret]:
    """Jobs that name it in `webhook` are told of there when they are final, signed by Standard Webhooks.

    What is not taken (2xx within some seconds) is sent again over three days; 410 ends it. Redirects are not followed.
    """
    key = await request_key(request, idempotency_key, settings, owner=owner)
    if (first := await first_answer(database, key, WebhookWithSecret)) is not None:
        return first
    url, secret = checked_url(data.url, settings.webhook_targets), _checked_secret(data.secret)
    if key is None:
        row = await webhooks.create_webhook(database, owner=owner, url=url, secret=secret)
    else:
        async with creating(database, key) as creation:
            row = await webhooks.insert_webhook(creation.session, owner=owner, url=url, secret=secret)
            body = msgspec.json.encode(_with_secret(row, secret))
            await creation.answered(status=201, location=f"/webhooks/{row.id}", body=body)
    return Response(_with_secret(row, secret), headers={"Location": f"/webhooks/{row.id}"})


@get(
    operation_id="listWebhooks",
    summary="List webhooks",
    responses=documented(400, 422),
    response_description="A page of webhooks, newest first.",
)
async def list_all_webhooks(
    database: NamedDependency[Database], owner: NamedDependency[str], limit: Limit = 50, cursor: Cursor = None
) -> Response[WebhookPage]:
    paging = Paging(of="webhooks", path="/webhooks", owner=owner, limit=limit, cursor=cursor)
    rows = await webhooks.list_webhooks(database, owner=owner, limit=paging.rows, before=paging.before)
    return paging.answer(rows, _webhook, WebhookPage)


@get(
    "/{webhook_id:uuid}",
    operation_id="getWebhook",
    summary="Look at a webhook",
    responses=documented(404),
    response_description="The webhook, without its secret.",
)
async def look_at_webhook(
    webhook_id: WebhookId, database: NamedDependency[Database], owner: NamedDependency[str]
) -> WebhookInfo:
    return _webhook(await _found(database, webhook_id, owner=owner))


@patch(
    "/{webhook_id:uuid}",
    operation_id="changeWebhook",
    summary="Change, pause or take up a webhook",
    responses=documented(400, 404, 413, 415, 422),
    response_description="The webhook as it is now.",
)
async def change_webhook(
    webhook_id: WebhookId,
    data: Annotated[
        WebhookChange,
        BodyKwarg(media_type=RequestEncodingType.JSON, examples=[Example(value={"paused": True}, summary="Pause it")]),
    ],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    owner: NamedDependency[str],
) -> WebhookInfo:
    """What ends while it is paused is noted as failed, and can be sent again later."""
    values: dict[str, Any] = {}
    if data.url is not msgspec.UNSET:
        values["url"] = checked_url(data.url, settings.webhook_targets)
    if data.paused is not msgspec.UNSET:
        values["disabled"] = "paused" if data.paused else None
    if not values:
        return _webhook(await _found(database, webhook_id, owner=owner))
    return _webhook(_there(await webhooks.change_webhook(database, webhook_id, values, owner=owner)))


@post(
    "/{webhook_id:uuid}/secret",
    status_code=200,
    operation_id="rotateWebhookSecret",
    summary="Give a webhook another secret",
    responses=documented(400, 404, 413, 415, 422),
    response_description="The webhook and its new secret. For a day both secrets sign.",
)
async def rotate_secret(
    webhook_id: WebhookId,
    data: Annotated[
        SecretChange, BodyKwarg(media_type=RequestEncodingType.JSON, examples=[Example(value={}, summary="A new one")])
    ],
    database: NamedDependency[Database],
    owner: NamedDependency[str],
) -> WebhookWithSecret:
    secret = _checked_secret(data.secret)
    until = datetime.now(UTC) + OVERLAP
    row = _there(await webhooks.rotate_secret(database, webhook_id, owner=owner, secret=secret, until=until))
    return _with_secret(row, secret)


@delete(
    "/{webhook_id:uuid}",
    operation_id="deleteWebhook",
    summary="Delete a webhook",
    responses=documented(404),
    response_description="Nothing is sent there any more, and its deliveries are forgotten.",
)
async def delete_webhook(
    webhook_id: WebhookId, database: NamedDependency[Database], owner: NamedDependency[str]
) -> None:
    if not await webhooks.drop_webhook(database, webhook_id, owner=owner):
        raise NotFound("There is no such webhook.")


@get(
    "/{webhook_id:uuid}/deliveries",
    operation_id="listDeliveries",
    summary="List what was sent to a webhook",
    responses=documented(400, 404, 422),
    response_description="A page of deliveries, newest first.",
)
async def list_webhook_deliveries(
    webhook_id: WebhookId,
    database: NamedDependency[Database],
    owner: NamedDependency[str],
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response[DeliveryPage]:
    await _found(database, webhook_id, owner=owner)
    of, path = f"deliveries of {webhook_id}", f"/webhooks/{webhook_id}/deliveries"
    paging = Paging(of=of, path=path, owner=owner, limit=limit, cursor=cursor)
    rows = await webhooks.list_deliveries(database, webhook_id, owner=owner, limit=paging.rows, before=paging.before)
    return paging.answer(rows, _delivery, DeliveryPage)


@post(
    "/{webhook_id:uuid}/deliveries/{delivery_id:uuid}/redeliver",
    status_code=202,
    operation_id="redeliver",
    summary="Send a delivery again",
    responses=documented(404),
    response_description="It is sent at once, and again as often as a new one would be.",
)
async def redeliver(
    webhook_id: WebhookId, delivery_id: DeliveryId, database: NamedDependency[Database], owner: NamedDependency[str]
) -> Delivery:
    row = await webhooks.redeliver(database, webhook_id, delivery_id, owner=owner)
    if row is None:
        raise NotFound("There is no such delivery.")
    return _delivery(row)


async def _found(database: Database, webhook_id: UUID, *, owner: str) -> WebhookRow:
    return _there(await webhooks.get_webhook(database, webhook_id, owner=owner))


def _there(row: WebhookRow | None) -> WebhookRow:
    if row is None:
        raise NotFound("There is no such webhook.")
    return row


def _checked_secret(given: str | None) -> str:
    if given is None:
        return new_secret()
    if not is_secret(given):
        fault = Fault("/secret", "It must be whsec_ and 24 to 64 bytes in base64.")
        raise InvalidRequest("The secret does not fit.", errors=(fault,))
    return given


def _webhook(row: WebhookRow) -> WebhookInfo:
    return WebhookInfo(**_shown(row))


def _with_secret(row: WebhookRow, secret: str) -> WebhookWithSecret:
    return WebhookWithSecret(**_shown(row), secret=secret)


def _shown(row: WebhookRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in WebhookInfo.__struct_fields__}


def _delivery(row: DeliveryRow) -> Delivery:
    shown = {name: getattr(row, name) for name in Delivery.__struct_fields__}
    return Delivery(**shown | {"next_at": row.next_at if row.status is DeliveryStatus.PENDING else None})


def routes() -> Router:
    return Router(
        "/webhooks",
        route_handlers=[
            create_webhook,
            list_all_webhooks,
            look_at_webhook,
            change_webhook,
            rotate_secret,
            delete_webhook,
            list_webhook_deliveries,
            redeliver,
        ],
        tags=["Webhooks"],
    )
