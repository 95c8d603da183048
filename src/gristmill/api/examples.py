"""Examples in the OpenAPI document. The docs page puts the newest dataset's or job's id where these ids are."""

from uuid import UUID

DATASET_ID = UUID("01900000-0000-7000-8000-0000000000d5")
JOB_ID = UUID("01900000-0000-7000-8000-00000000010b")

SCHEDULE_ID = UUID("01900000-0000-7000-8000-00000000005c")
WEBHOOK_ID = UUID("01900000-0000-7000-8000-00000000003b")
DELIVERY_ID = UUID("01900000-0000-7000-8000-0000000000de")

JOB = {"kind": "metrics", "dataset_id": str(DATASET_ID), "params": {}}
CSV = "city,temperature\nOslo,4.5\nLima,19\nCairo,\n"
NDJSON = '{"city": "Oslo", "temperature": 4.5}\n{"city": "Lima", "temperature": 19}\n'
