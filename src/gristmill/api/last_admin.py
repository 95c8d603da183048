"""Tells before nobody is an admin any more: in the log, and as a metric.

Nobody but an admin may look at all keys, so this looks when one asks for something, once an hour, and when keys change.
"""

import math
from datetime import UTC, datetime

from gristmill import metrics
from gristmill.db import keyring
from gristmill.db.engine import Database
from gristmill.db.keyring import TOP, KeyRow
from gristmill.domain.key import KeyStatus, last_admin
from gristmill.telemetry import get_logger

log = get_logger(__name__)

PAGE = 500
DAY_S = 24 * 3600


async def look(database: Database, asked_by: str) -> None:
    """Look when the last admin's key expires. `asked_by` is the id of an admin's key."""
    last = last_admin(await _active(database, asked_by))
    if last is None:
        return  # the key that asks was revoked just now
    if last.expires_at is None:
        metrics.ADMIN_ENDS.set(math.inf)
        return
    metrics.ADMIN_ENDS.set(last.expires_at.timestamp())
    if last.ends_soon:
        left = (last.expires_at - datetime.now(UTC)).total_seconds() / DAY_S
        log.warning("key.last_admin_expires", key_id=last.key_id, days=round(left, 1))


async def _active(database: Database, asked_by: str) -> list[KeyRow]:
    found: list[KeyRow] = []
    below = TOP
    while True:
        page = await keyring.list_keys(database, asked_by=asked_by, limit=PAGE, below=below, status=KeyStatus.ACTIVE)
        found += page
        if len(page) < PAGE:
            return found
        below = page[-1].number
