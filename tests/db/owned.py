"""A row of each table that has an owner."""

from gristmill.db.engine import Driver

# Those that others name first.
ROWS = {
    "datasets": """
        INSERT INTO datasets (owner, name, format, original_key, media_type, size_bytes, sha256)
        VALUES ($1, 'n', 'csv', 'k', 'text/csv', 1, repeat('0', 64))""",
    "uploads": "INSERT INTO uploads (owner) VALUES ($1)",
    "idempotency_keys": "INSERT INTO idempotency_keys (owner, key, upload_id) VALUES ($1, 'k', uuidv7())",
    "jobs": """
        INSERT INTO jobs (owner, kind, kind_version, dataset_id, params, labels)
        VALUES ($1, 'metrics', 1, uuidv7(), '{}', '{"a": "b"}')""",
    "job_events": "INSERT INTO job_events (job_id, owner, type, attempt) VALUES (uuidv7(), $1, 'created', 0)",
    "webhooks": "INSERT INTO webhooks (owner, url, secret) VALUES ($1, 'https://example.org', 's')",
    "webhook_deliveries": """
        INSERT INTO webhook_deliveries (webhook_id, owner, job_id, event_id)
        VALUES ((SELECT id FROM webhooks WHERE owner = $1 LIMIT 1), $1, uuidv7(), 1)""",
    "schedules": """
        INSERT INTO schedules (owner, name, cron, time_zone, dataset_id, kind, kind_version, params, max_attempts,
            timeout_s, next_at)
        VALUES ($1, 'n', '* * * * *', 'UTC', (SELECT id FROM datasets WHERE owner = $1 LIMIT 1), 'metrics', 1, '{}', 1,
            60, now())""",
    "api_keys": "INSERT INTO api_keys (id, owner, secret_sha256, scopes) VALUES ($1, $1, repeat('0', 64), '[]')",
    "audit_events": "INSERT INTO audit_events (action, owner, subject) VALUES ('job.deleted', $1, 's')",
}


async def give(driver: Driver, *owners: str) -> None:
    """Each of the owners one row of everything."""
    for owner in owners:
        for statement in ROWS.values():
            await driver.execute(statement, owner)
