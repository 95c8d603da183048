"""Statements on webhooks and their deliveries. Those that users cause are bounded by owner; delivering is the workers'.

The row of a job that names a webhook is the outbox: it is final and not noted until its delivery is made, so whatever
statement ended the job, nothing has to be told apart from it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gristmill.db.engine import Database
from gristmill.db.models import Webhook, WebhookDelivery
from gristmill.db.rows import EventRow
from gristmill.domain.webhook import DeliveryStatus

NOTE = """
WITH due AS MATERIALIZED (
    SELECT id, owner, webhook_id FROM jobs
    WHERE webhook_id IS NOT NULL AND NOT webhook_noted AND finished_at IS NOT NULL
    ORDER BY finished_at LIMIT $1 FOR UPDATE SKIP LOCKED
), noted AS (
    UPDATE jobs SET webhook_noted = true FROM due WHERE jobs.id = due.id
), made AS (
    INSERT INTO webhook_deliveries (webhook_id, owner, job_id, event_id)
    SELECT webhooks.id, due.owner, due.id, last.id
    FROM due JOIN webhooks ON webhooks.id = due.webhook_id AND webhooks.owner = due.owner
    CROSS JOIN LATERAL (
        SELECT id FROM job_events WHERE job_id = due.id AND type IN ('completed', 'failed', 'canceled')
        ORDER BY id DESC LIMIT 1
    ) AS last
)
SELECT count(*) FROM due
"""

# An attempt that nothing is heard of is made again after a while: its worker is dead.
CLAIM = """
WITH picked AS MATERIALIZED (
    SELECT id FROM webhook_deliveries WHERE status = 'pending' AND next_at <= now()
    ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE webhook_deliveries AS delivery
    SET attempts = attempts + 1, next_at = now() + make_interval(secs => $2)
    WHERE id = ANY (ARRAY (SELECT id FROM picked))
    RETURNING id, webhook_id, attempts, job_id, event_id
)
SELECT taken.id, taken.webhook_id, taken.attempts, now() AS now, webhooks.url, webhooks.disabled,
    webhooks.secret, CASE WHEN webhooks.old_secret_until > now() THEN webhooks.old_secret END AS old_secret,
    taken.job_id, event.id AS event_id, event.at, event.type, event.attempt, event.data
FROM taken JOIN webhooks ON webhooks.id = taken.webhook_id
LEFT JOIN job_events AS event ON event.job_id = taken.job_id AND event.id = taken.event_id
"""

# By its number of attempts, so that a late answer does not undo what a later attempt has told.
RECORD = """
UPDATE webhook_deliveries SET status = $3, response_status = $4, error = $5,
    next_at = CASE WHEN $3 = 'pending' THEN now() + make_interval(secs => $6) ELSE next_at END,
    delivered_at = CASE WHEN $3 = 'delivered' THEN now() END
WHERE id = $1 AND attempts = $2 AND status = 'pending'
"""
DISABLE = "UPDATE webhooks SET disabled = 'gone', updated_at = now() WHERE id = $1 AND disabled IS NULL"

FORGET = """
DELETE FROM webhook_deliveries WHERE id = ANY (ARRAY (
    SELECT id FROM webhook_deliveries WHERE status <> 'pending' AND created_at < now() - make_interval(secs => $1)
    ORDER BY created_at LIMIT $2
))
"""


class WebhookRow(msgspec.Struct, frozen=True, kw_only=True):
    """`disabled` says why nothing is sent: `paused` by its owner, or `gone` (the receiver answered 410)."""

    id: UUID
    owner: str
    url: str
    disabled: str | None
    old_secret_until: datetime | None
    created_at: datetime
    updated_at: datetime


class DeliveryRow(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    job_id: UUID
    event_id: int
    status: DeliveryStatus
    attempts: int
    next_at: datetime
    response_status: int | None
    error: str | None
    created_at: datetime
    delivered_at: datetime | None


class DueDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to be made now. `event` None: the job was forgotten meanwhile."""

    id: UUID
    webhook_id: UUID
    attempts: int
    now: datetime
    url: str
    disabled: str | None
    secrets: tuple[str, ...]
    event: EventRow | None


WEBHOOK_COLUMNS = tuple(Webhook.__table__.columns[name] for name in WebhookRow.__struct_fields__)
DELIVERY_COLUMNS = tuple(WebhookDelivery.__table__.columns[name] for name in DeliveryRow.__struct_fields__)


async def create_webhook(database: Database, *, owner: str, url: str, secret: str) -> WebhookRow:
    async with database.session() as session:
        return await insert_webhook(session, owner=owner, url=url, secret=secret)


async def insert_webhook(session: AsyncConnection, *, owner: str, url: str, secret: str) -> WebhookRow:
    """The same, in the caller's transaction."""
    statement = insert(Webhook).values(owner=owner, url=url, secret=secret).returning(*WEBHOOK_COLUMNS)
    return WebhookRow(**(await session.execute(statement)).mappings().one())


async def get_webhook(database: Database, webhook_id: UUID, *, owner: str) -> WebhookRow | None:
    found = await get_webhooks(database, [webhook_id], owner=owner)
    return found[0] if found else None


async def get_webhooks(database: Database, ids: Sequence[UUID], *, owner: str) -> list[WebhookRow]:
    """Those of the webhooks that there are, and are this owner's."""
    statement = select(*WEBHOOK_COLUMNS).where(Webhook.id.in_(ids), Webhook.owner == owner)
    async with database.session() as session:
        return [WebhookRow(**record) for record in (await session.execute(statement)).mappings().all()]


async def list_webhooks(database: Database, *, owner: str, limit: int, before: UUID | None) -> list[WebhookRow]:
    """A page of an owner's webhooks, newest first, below `before`."""
    statement = select(*WEBHOOK_COLUMNS).where(Webhook.owner == owner).order_by(Webhook.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(Webhook.id < before)
    async with database.session() as session:
        return [WebhookRow(**record) for record in (await session.execute(statement)).mappings().all()]


async def change_webhook(
    database: Database, webhook_id: UUID, values: dict[str, Any], *, owner: str
) -> WebhookRow | None:
    """Change columns of a webhook; None: there is no such one of this owner."""
    statement = update(Webhook).where(Webhook.id == webhook_id, Webhook.owner == owner).values(values)
    async with database.session() as session:
        record = (await session.execute(statement.returning(*WEBHOOK_COLUMNS))).mappings().one_or_none()
    return None if record is None else WebhookRow(**record)


async def rotate_secret(
    database: Database, webhook_id: UUID, *, owner: str, secret: str, until: datetime
) -> WebhookRow | None:
    """Sign with another secret, and with the present one too until a time; None: no such webhook of this owner."""
    values = {"old_secret": Webhook.secret, "old_secret_until": until, "secret": secret}
    return await change_webhook(database, webhook_id, values, owner=owner)


async def drop_webhook(database: Database, webhook_id: UUID, *, owner: str) -> bool:
    """Remove a webhook with its deliveries."""
    statement = delete(Webhook).where(Webhook.id == webhook_id, Webhook.owner == owner).returning(Webhook.id)
    async with database.session() as session:
        return bool((await session.execute(statement)).first())


async def list_deliveries(
    database: Database, webhook_id: UUID, *, owner: str, limit: int, before: UUID | None
) -> list[DeliveryRow]:
    """A page of a webhook's deliveries, newest first, below `before`."""
    statement = (
        select(*DELIVERY_COLUMNS)
        .where(WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.owner == owner)
        .order_by(WebhookDelivery.id.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(WebhookDelivery.id < before)
    async with database.session() as session:
        return [_delivery(record) for record in (await session.execute(statement)).mappings().all()]


async def redeliver(database: Database, webhook_id: UUID, delivery_id: UUID, *, owner: str) -> DeliveryRow | None:
    """Send a delivery again, from the first attempt on; None: there is no such one of this owner."""
    statement = (
        update(WebhookDelivery)
        .where(
            WebhookDelivery.id == delivery_id,
            WebhookDelivery.webhook_id == webhook_id,
            WebhookDelivery.owner == owner,
        )
        .values(status=DeliveryStatus.PENDING, attempts=0, next_at=func.now(), error=None, delivered_at=None)
        .returning(*DELIVERY_COLUMNS)
    )
    async with database.session() as session:
        record = (await session.execute(statement)).mappings().one_or_none()
    return None if record is None else _delivery(record)


async def note_final_jobs(database: Database, *, limit: int) -> int:
    """Make the deliveries of jobs that became final. Answers how many jobs were looked at."""
    async with database.driver() as driver:
        noted: int = await driver.fetchval(NOTE, limit)
        return noted


async def claim_deliveries(database: Database, *, limit: int, lease_s: float) -> list[DueDelivery]:
    """Attempts to make now. Nobody else makes them for `lease_s` seconds."""
    async with database.driver() as driver:
        return [_due(record) for record in await driver.fetch(CLAIM, limit, lease_s)]


async def record_attempt(
    database: Database,
    due: DueDelivery,
    status: DeliveryStatus,
    *,
    response_status: int | None,
    error: str | None,
    delay_s: float = 0.0,
) -> None:
    """What came of one attempt; with the status `pending` it is made again after `delay_s` seconds."""
    async with database.driver() as driver:
        await driver.execute(RECORD, due.id, due.attempts, status, response_status, error, delay_s)


async def disable_webhook(database: Database, webhook_id: UUID) -> None:
    """The receiver says that it is gone for good."""
    async with database.driver() as driver:
        await driver.execute(DISABLE, webhook_id)


async def forget_deliveries(database: Database, *, keep_s: float, limit: int = 1000) -> int:
    """Drop deliveries that are over, some time after they were made. Answers how many."""
    async with database.driver() as driver:
        return int((await driver.execute(FORGET, keep_s, limit)).split()[-1])


def _delivery(record: Any) -> DeliveryRow:
    return DeliveryRow(**{**record, "status": DeliveryStatus(record["status"])})


def _due(record: Any) -> DueDelivery:
    event = None
    if record["event_id"] is not None:
        event = EventRow(
            id=record["event_id"],
            job_id=record["job_id"],
            at=record["at"],
            type=record["type"],
            attempt=record["attempt"],
            data=None if record["data"] is None else msgspec.Raw(record["data"].encode()),
        )
    secrets = (record["secret"], record["old_secret"])
    return DueDelivery(
        id=record["id"],
        webhook_id=record["webhook_id"],
        attempts=record["attempts"],
        now=record["now"],
        url=record["url"],
        disabled=record["disabled"],
        secrets=tuple(secret for secret in secrets if secret is not None),
        event=event,
    )
