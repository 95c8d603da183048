"""The document of a running API, and things for its examples to stand for."""

import json
from pathlib import Path
from typing import Any

from gristmill.api import examples
from tests.e2e.system import System
from tests.worker.rig import until

CSV = b"city,temperature\nOslo,4.5\nLima,19\nCairo,\nUlm,11,x\n"


async def document(system: System) -> dict[str, Any]:
    """What `/openapi.json` says."""
    told: dict[str, Any] = (await system.http.get("/openapi.json")).raise_for_status().json()
    return told


async def peopled(system: System, folder: Path) -> Path:
    """The document as a file, with the ids of things that are there in place of those of its examples.

    As the docs page does it. There are a ready dataset, a completed job on it, an upload under way, a schedule, a key,
    and a webhook that was told of a job.
    """
    dataset = (await system.upload(CSV, "towns.csv")).raise_for_status().json()
    await system.settled(f"/datasets/{dataset['id']}")
    steps = [{"op": "scale", "method": "zscore"}]
    job = (await system.submit(dataset["id"], "normalize", steps=steps)).raise_for_status().json()
    await system.settled(f"/jobs/{job['id']}")
    nightly = {"name": "nightly", "cron": "0 2 * * *", "job": {"kind": "metrics", "dataset_id": dataset["id"]}}
    schedule = (await system.http.post("/schedules", json=nightly)).raise_for_status().json()
    hook = {"url": "https://hooks.example.org/gristmill"}
    webhook = (await system.http.post("/webhooks", json=hook)).raise_for_status().json()
    delivery = await told_of_a_job(system, webhook["id"], dataset["id"])
    begun = {"name": "later.csv", "upload": "presigned", "size_bytes": 9}
    upload = (await system.http.post("/datasets", json=begun)).raise_for_status().json()
    key = (await system.http.post("/keys", json={"owner": "ben"})).raise_for_status().json()
    text = json.dumps(await document(system)).replace(examples.KEY_ID, key["id"])
    for example, there in {
        examples.DATASET_ID: dataset,
        examples.JOB_ID: job,
        examples.SCHEDULE_ID: schedule,
        examples.WEBHOOK_ID: webhook,
        examples.DELIVERY_ID: delivery,
        examples.UPLOAD_ID: upload,
    }.items():
        text = text.replace(str(example), there["id"])
    path = folder / "openapi.json"
    path.write_text(text, "utf-8")
    return path


async def told_of_a_job(system: System, webhook_id: str, dataset_id: str) -> dict[str, Any]:
    """Have a webhook told of the end of a job. Answers the delivery."""
    body = {"kind": "metrics", "dataset_id": dataset_id, "webhook": webhook_id, "scheduled_at": "2099-01-01T00:00:00Z"}
    job = (await system.http.post("/jobs", json=body)).raise_for_status().json()
    (await system.http.post(f"/jobs/{job['id']}/cancel")).raise_for_status()

    async def noted() -> bool:
        found.extend((await system.http.get(f"/webhooks/{webhook_id}/deliveries")).json()["items"])
        return bool(found)

    found: list[dict[str, Any]] = []
    await until(noted, "the delivery is noted")
    return found[0]
