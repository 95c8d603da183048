"""The schema. Alembic compares the database with this, so what is not here does not exist.

Invariants are CHECK constraints: a row that breaks one can't be committed, by whatever program.
Every table that holds something of a user's has its owner.
"""

from gristmill.db.models.access import ApiKey, Audit, IdempotencyKey
from gristmill.db.models.datasets import Dataset, Upload
from gristmill.db.models.jobs import Job, JobEventRow, LostAttempt, Schedule
from gristmill.db.models.queue import QueueLimit, RateClaim, Worker
from gristmill.db.models.table import LEASES, Table
from gristmill.db.models.webhooks import Webhook, WebhookDelivery

__all__ = [
    "LEASES",
    "ApiKey",
    "Audit",
    "Dataset",
    "IdempotencyKey",
    "Job",
    "JobEventRow",
    "LostAttempt",
    "QueueLimit",
    "RateClaim",
    "Schedule",
    "Table",
    "Upload",
    "Webhook",
    "WebhookDelivery",
    "Worker",
]
