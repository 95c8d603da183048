"""Statements on the audit trail. It is only added to, in the transaction of what it tells."""

from gristmill.db.engine import Database, Driver
from gristmill.domain.audit import AuditAction, AuditEvent

NOTE = "INSERT INTO audit_events (action, owner, subject, key_id, reason) VALUES ($1, $2, $3, $4, $5)"
LIST = "SELECT action, owner, subject, key_id, reason, at FROM audit_events ORDER BY id DESC LIMIT $1"


async def note(driver: Driver, event: AuditEvent) -> None:
    """Write an event down; it is kept when the caller's transaction is."""
    await driver.execute(NOTE, event.action, event.owner, event.subject, event.key_id, event.reason)


async def list_audit(database: Database, *, limit: int) -> list[AuditEvent]:
    """The last events, newest first."""
    async with database.driver() as driver:
        records = [dict(record) for record in await driver.fetch(LIST, limit)]
    return [AuditEvent(**{**record, "action": AuditAction(record["action"])}) for record in records]
