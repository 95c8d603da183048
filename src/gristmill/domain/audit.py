"""What is written down for whoever has to answer for it: what happened to keys, and what was deleted."""

from datetime import datetime
from enum import StrEnum

import msgspec


class AuditAction(StrEnum):
    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    KEY_ROTATED = "key.rotated"
    KEY_REFUSED = "key.refused"
    DATASET_DELETED = "dataset.deleted"
    JOB_DELETED = "job.deleted"


class AuditEvent(msgspec.Struct, frozen=True, kw_only=True):
    """`subject` is the id of a key, dataset or job; `key_id` the key that asked for it (None: the command line, or
    nobody needed one). Nothing of a user's data.
    """

    action: AuditAction
    owner: str
    subject: str
    key_id: str | None = None
    reason: str | None = None
    at: datetime | None = None
