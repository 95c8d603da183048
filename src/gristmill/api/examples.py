"""Examples in the OpenAPI document. The docs page puts the newest dataset's or job's id where these ids are."""

from typing import Any, Final
from uuid import UUID

DATASET_ID = UUID("01900000-0000-7000-8000-0000000000d5")
JOB_ID = UUID("01900000-0000-7000-8000-00000000010b")
UPLOAD_ID = UUID("01900000-0000-7000-8000-0000000000a1")

SCHEDULE_ID = UUID("01900000-0000-7000-8000-00000000005c")
WEBHOOK_ID = UUID("01900000-0000-7000-8000-00000000003b")
DELIVERY_ID = UUID("01900000-0000-7000-8000-0000000000de")
KEY_ID, NEW_KEY_ID = "k0example0id", "k1example1id"

JOB = {"kind": "metrics", "dataset_id": str(DATASET_ID), "params": {}}
CSV = "city,temperature\nOslo,4.5\nLima,19\nCairo,\n"
ROWS = {
    "columns": [{"name": "city", "type": "String"}, {"name": "temperature", "type": "Float64"}],
    "first_row": 0,
    "total_rows": 3,
    "rows": [["Oslo", 4.5], ["Lima", 19.0], ["Cairo", None]],
}
REJECTS = {"items": [{"line": 9, "column": 3, "reason": "extra cells", "raw": "Jena,10.2,9"}], "rows_rejected": 1}
REJECTS_CSV = 'line,column,reason,raw\r\n9,3,extra cells,"Jena,10.2,9"\r\n'
REJECTS_NDJSON = '{"line": 9, "column": 3, "reason": "extra cells", "raw": "Jena,10.2,9"}\n'
NDJSON = '{"city": "Oslo", "temperature": 4.5}\n{"city": "Lima", "temperature": 19}\n'

_AT, _LATER = "2026-01-02T03:04:05Z", "2026-01-02T03:04:09Z"
_SHA256 = "6e3fe7a1ec6ec1a9c8b4a1f6d0e07c3f3a1f5f7c8d9e0a1b2c3d4e5f60718293"
_RESULT = f"s3://job-results/results/{JOB_ID}/1/normalized-00000.parquet"
_URL = "https://s3.example.org/job-results/normalized-00000.parquet?X-Amz-Signature=0f1e2d"
_PROBLEM = {
    "type": "urn:gristmill:problem:invalid-request",
    "title": "The request does not fit",
    "status": 422,
    "detail": "The params do not fit.",
    "instance": "/jobs",
    "errors": [{"pointer": "/params/columns/0", "detail": "There is no such column."}],
}
_SUMMARY = {
    "id": str(DATASET_ID),
    "name": "towns.csv",
    "status": "ready",
    "format": "csv",
    "media_type": "text/csv",
    "size_bytes": 46,
    "sha256": _SHA256,
    "rows_read": 3,
    "rows_loaded": 3,
    "rows_rejected": 0,
    "rows_repaired": 0,
    "error": None,
    "labels": {"site": "north"},
    "created_at": _AT,
    "updated_at": _LATER,
    "expires_at": None,
    "links": {"self": f"/datasets/{DATASET_ID}", "rows": f"/datasets/{DATASET_ID}/rows"},
}
_UPLOAD = {
    "id": str(UPLOAD_ID),
    "name": "readings.csv",
    "format": "csv",
    "size_bytes": 12_000_000,
    "part_bytes": 16_777_216,
    "parts_total": 1,
    "parts": [{"number": 1, "size_bytes": 12_000_000, "url": "https://s3.example.org/part", "etag": None}],
    "urls_expire_at": _LATER,
    "expires_at": _LATER,
    "links": {"self": f"/datasets/{UPLOAD_ID}/upload", "complete": f"/datasets/{UPLOAD_ID}/complete"},
}
_DATASET = {
    **_SUMMARY,
    "options": {},
    "columns": ROWS["columns"],
    "dialect": {"format": "csv", "encoding": "utf-8", "delimiter": ","},
    "profile": {"rows": 3},
    "warnings": [],
}
_JOB = {
    "id": str(JOB_ID),
    "kind": "metrics",
    "kind_version": 2,
    "dataset_id": str(DATASET_ID),
    "input_job_id": None,
    "status": "completed",
    "waits_for_dataset": False,
    "waits_for": None,
    "reused_from": None,
    "params": {"correlations": True},
    "labels": {},
    "priority": 0,
    "limit_key": "",
    "attempt": 1,
    "max_attempts": 5,
    "timeout_s": 3600,
    "webhook": None,
    "progress": None,
    "error": None,
    "result": {"files": 1, "size_bytes": 2048, "rows_in": 3, "rows_out": 3, "rows_dropped": 0},
    "created_at": _AT,
    "updated_at": _LATER,
    "scheduled_at": _AT,
    "started_at": _AT,
    "cancel_requested_at": None,
    "finished_at": _LATER,
    "links": {"self": f"/jobs/{JOB_ID}", "result": f"/jobs/{JOB_ID}/result"},
}
_PLAN = {
    "kind": "metrics",
    "kind_version": 2,
    "dataset_id": str(DATASET_ID),
    "input_job_id": None,
    "params": {"correlations": True},
    "max_attempts": 5,
    "timeout_s": 3600,
    "steps": [{"op": "describe", "columns": ["city", "temperature"]}],
    "warnings": [],
    "reuses": None,
}
_FILE = {
    "uri": _RESULT,
    "url": _URL,
    "url_expires_at": _LATER,
    "media_type": "application/vnd.apache.parquet",
    "size_bytes": 2048,
    "sha256": _SHA256,
    "rows": 3,
}
_SCHEDULE = {
    "id": str(SCHEDULE_ID),
    "name": "nightly",
    "cron": "30 2 * * *",
    "time_zone": "Europe/Berlin",
    "missed": "once",
    "paused": False,
    "kind": "metrics",
    "dataset_id": str(DATASET_ID),
    "params": {"correlations": True},
    "labels": {},
    "priority": 0,
    "limit_key": "",
    "max_attempts": 5,
    "timeout_s": 3600,
    "webhook": None,
    "upcoming": ["2026-01-03T01:30:00Z", "2026-01-04T01:30:00Z"],
    "last_at": None,
    "last_job_id": None,
    "error": None,
    "created_at": _AT,
    "updated_at": _AT,
}
_WEBHOOK = {
    "id": str(WEBHOOK_ID),
    "url": "https://hooks.example.org/gristmill",
    "disabled": None,
    "old_secret_until": None,
    "created_at": _AT,
    "updated_at": _AT,
}
_DELIVERY = {
    "id": str(DELIVERY_ID),
    "job_id": str(JOB_ID),
    "event_id": 42,
    "status": "delivered",
    "attempts": 1,
    "next_at": None,
    "response_status": 204,
    "error": None,
    "created_at": _AT,
    "delivered_at": _LATER,
}
_KEY = {
    "id": KEY_ID,
    "owner": "ann",
    "name": "nightly import",
    "scopes": ["read", "write"],
    "status": "active",
    "created_at": _AT,
    "expires_at": "2026-04-02T00:00:00Z",
    "last_used_at": None,
    "revoked_at": None,
    "replaced_by": None,
}
_TOKEN = "gm_k0example0id_" + "0example" * 5 + "abc"
_PROCESSOR = {
    "kind": "metrics",
    "version": 2,
    "description": "Describes a dataset: its rows and columns, and each column by its type.",
    "params_schema": {"type": "object", "properties": {"correlations": {"type": "boolean", "default": True}}},
    "example": {"correlations": True},
}
_LIMIT = {
    "scope": "kind",
    "name": "metrics",
    "max_running": 4,
    "rate": None,
    "rate_period_s": None,
    "paused": False,
}
_DEPTH = {
    "kind": "metrics",
    "due": 2,
    "delayed": 0,
    "blocked": 1,
    "running": 1,
    "oldest_wait_s": 0.8,
    "paused": False,
}
_WORKER = {
    "id": "01900000-0000-7000-8000-0000000000aa",
    "host": "worker-1",
    "pid": 4242,
    "slots": 4,
    "running": 1,
    "version": "0.1.0",
    "started_at": _AT,
    "heartbeat_at": _LATER,
    "runs": [{"kind": "metrics", "attempt": 1, "started_at": _AT}],
}
_EVENT = {"id": 42, "at": _AT, "type": "claimed", "attempt": 1, "data": {}}
_PROFILE = {
    "dataset_id": str(DATASET_ID),
    "format": "csv",
    "rows_read": 3,
    "rows_loaded": 3,
    "rows_rejected": 0,
    "rows_repaired": 0,
    "dialect": _DATASET["dialect"],
    "warnings": [],
    "figures": {"rows": 3},
    "columns": [{"name": "temperature", "type": "Float64", "count": 2, "nulls": 1}],
}

# What each schema of an answer looks like, by its name.
ANSWERS: Final[dict[str, Any]] = {
    "Dataset": _DATASET,
    "DatasetPage": {"items": [_SUMMARY]},
    "DatasetProfile": _PROFILE,
    "Delivery": _DELIVERY,
    "DeliveryPage": {"items": [_DELIVERY]},
    "Download": {"url": _URL, "url_expires_at": _LATER},
    "EventPage": {"items": [_EVENT]},
    "History": {"items": [{"at": _AT, "kind": "metrics", "completed": 12, "failed": 0, "canceled": 1}]},
    "Health": {"status": "ready"},
    "Job": _JOB,
    "JobList": {"items": [_JOB]},
    "JobPage": {"items": [_JOB]},
    "JobPlan": _PLAN,
    "KeyInfo": _KEY,
    "KeyPage": {"items": [_KEY]},
    "Limit": _LIMIT,
    "LimitList": {"items": [_LIMIT]},
    "NewKey": {**_KEY, "key": _TOKEN},
    "ProblemDetails": _PROBLEM,
    "ProcessorDescription": _PROCESSOR,
    "ProcessorList": {"items": [_PROCESSOR]},
    "Queue": {"paused": False, "kinds": [_DEPTH]},
    "Result": {
        "job_id": str(JOB_ID),
        **_FILE,
        "rows_in": 3,
        "rows_out": 3,
        "rows_dropped": 0,
        "files": [{"name": "normalized-00000.parquet", **_FILE}],
        "report": {"rows": 3},
    },
    "RotatedKey": {
        **_KEY,
        "id": NEW_KEY_ID,
        "key": _TOKEN.replace(KEY_ID, NEW_KEY_ID),
        "replaces": {**_KEY, "expires_at": _LATER, "replaced_by": NEW_KEY_ID},
    },
    "Schedule": _SCHEDULE,
    "SchedulePage": {"items": [_SCHEDULE]},
    "Upload": _UPLOAD,
    "WebhookInfo": _WEBHOOK,
    "WebhookPage": {"items": [_WEBHOOK]},
    "WebhookWithSecret": {**_WEBHOOK, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
    "WhoAmI": {"owner": "ann", "scopes": ["read", "write"], "key_id": KEY_ID},
    "WorkerList": {"items": [_WORKER]},
}


def with_examples(document: dict[str, Any]) -> dict[str, Any]:
    """The document with an example in each schema that an answer has."""
    told = document["components"]
    shown = {name: {**told["schemas"][name], "examples": [answer]} for name, answer in ANSWERS.items()}
    return {**document, "components": {**told, "schemas": told["schemas"] | shown}}
