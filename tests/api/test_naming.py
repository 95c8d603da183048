"""Promise: params may name an owner's other jobs and datasets; what does not do is told at once, where it was named."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest

from gristmill.db.engine import Database
from gristmill.objects import ObjectStore
from gristmill.settings import Settings
from tests.api.queue_side import complete, make_ready
from tests.db.rows import enqueued, new_dataset

SCALE: dict[str, Any] = {"steps": [{"op": "scale", "method": "zscore"}]}


def document(column: str = "temperature", center: float = 3.0) -> bytes:
    scaling = {"column": column, "center": center, "unit": 2.0}
    steps = [{"op": "scale", "method": "zscore", "columns": [scaling]}]
    return msgspec.json.encode({"kind": "normalize", "version": 2, "steps": steps})


class Side:
    """The API, and what a worker would do behind it."""

    def __init__(self, client: httpx.AsyncClient, database: Database, store: ObjectStore, settings: Settings) -> None:
        self.client = client
        self.database = database
        self._store = store
        self._settings = settings

    async def dataset(self, name: str, *, ready: bool = True) -> str:
        content = f"city,temperature\n{name},4.5\nLima,19\n".encode()
        made = (await self.client.post("/datasets", files={"file": ("t.csv", content)})).raise_for_status().json()
        if ready:
            await make_ready(self.database, made["links"]["ingest_job"])
        return str(made["id"])

    async def submit(self, dataset_id: str, kind: str = "normalize", **params: Any) -> httpx.Response:
        return await self.client.post("/jobs", json={"kind": kind, "dataset_id": dataset_id, "params": params})

    async def fitted(self, dataset_id: str, content: bytes) -> str:
        """A completed job whose result has this document."""
        job = {"kind": "normalize", "dataset_id": dataset_id, "params": SCALE, "reuse": "none"}
        job_id = str((await self.client.post("/jobs", json=job)).raise_for_status().json()["id"])
        await complete(self.database, self._store, self._settings, job_id, fitted=content)
        return job_id


@pytest.fixture
async def side(
    client: httpx.AsyncClient, database: Database, store: ObjectStore, settings: Settings
) -> AsyncIterator[Side]:
    yield Side(client, database, store, settings)
    async with database.driver() as driver:
        await driver.execute("TRUNCATE datasets, jobs CASCADE")


def refused(answer: httpx.Response) -> tuple[int, str, str]:
    (error,) = answer.json()["errors"]
    return answer.status_code, error["pointer"], error["detail"]


async def test_a_document_of_another_job_is_checked_where_it_is_named(side: Side) -> None:
    dataset_id, elsewhere = await side.dataset("Oslo"), await new_dataset(side.database, owner="bob")
    other = await side.fitted(dataset_id, document(column="altitude"))
    broken = await side.fitted(dataset_id, b'{"kind": "normalize"}')
    good = await side.fitted(dataset_id, document())
    theirs = await enqueued(side.database, elsewhere, owner="bob", kind="normalize")
    pending = (await side.submit(dataset_id, **SCALE)).json()["id"]
    for job_id, detail in (
        (str(uuid4()), "There is no such job."),
        (str(theirs.id), "There is no such job."),
        (pending, "The job is pending: it must be completed before."),
        (other, "In its document, at /steps/0/columns/0: The dataset has no such column."),
        (broken, "Its fitted.json is not of the form that is needed."),
    ):
        answer = await side.submit(dataset_id, fitted_from=job_id)
        assert refused(answer) == (422, "/params/fitted_from", detail)
    both = await side.submit(dataset_id, fitted_from=good, fitted=msgspec.json.decode(document()))
    assert refused(both) == (422, "/params/fitted_from", "Give either this or `fitted`.")
    jobs = [{"kind": "normalize", "dataset_id": dataset_id, "params": {"fitted_from": id_}} for id_ in (good, other)]
    batch = await side.client.post("/jobs:batch", json={"jobs": jobs})
    assert refused(batch)[:2] == (422, "/jobs/1/params/fitted_from")
    job = {"kind": "normalize", "dataset_id": dataset_id, "params": {"fitted_from": good}}
    schedule = {"name": "nightly", "cron": "0 3 * * *", "time_zone": "UTC", "job": job}
    assert refused(await side.client.post("/schedules", json=schedule))[:2] == (422, "/job/params/fitted_from")


async def test_the_same_document_is_the_same_work_whichever_job_made_it(side: Side) -> None:
    dataset_id = await side.dataset("Oslo")
    first, same = [await side.fitted(dataset_id, document()) for _ in range(2)]
    another = await side.fitted(dataset_id, document(center=4.0))
    jobs = [
        (await side.submit(dataset_id, fitted_from=id_)).raise_for_status().json() for id_ in (first, same, another)
    ]
    assert [job["params"]["fitted_from"] for job in jobs] == [first, same, another]
    assert [job["reused_from"] for job in jobs] == [None, jobs[0]["id"], None]
    back = (await side.submit(dataset_id, fitted_from=first, inverse=True)).json()
    assert back["reused_from"] is None


async def test_what_a_waiting_job_names_stays(side: Side) -> None:
    dataset_id, baseline = await side.dataset("Oslo"), await side.dataset("Bergen")
    source = await side.fitted(dataset_id, document())
    applying = (await side.submit(dataset_id, fitted_from=source)).json()["id"]
    assert (await side.client.delete(f"/jobs/{source}")).status_code == 409
    await side.client.post(f"/jobs/{applying}/cancel")
    assert (await side.client.delete(f"/jobs/{source}")).status_code == 204
    comparing = (await side.submit(dataset_id, "metrics", baseline_dataset_id=baseline)).json()["id"]
    assert (await side.client.delete(f"/datasets/{baseline}")).status_code == 409
    assert (await side.client.delete(f"/datasets/{baseline}?force=true")).status_code == 204
    assert (await side.client.get(f"/jobs/{comparing}")).json()["status"] == "canceled"


async def test_a_baseline_is_a_ready_dataset_and_its_content_is_part_of_the_work(side: Side) -> None:
    dataset_id, elsewhere = await side.dataset("Oslo"), await new_dataset(side.database, owner="bob")
    one, same, other = [await side.dataset(name) for name in ("Riga", "Riga", "Kyiv")]
    early = await side.dataset("Bergen", ready=False)
    for wrong, detail in (
        (str(uuid4()), "There is no such dataset."),
        (str(elsewhere), "There is no such dataset."),
        (early, "The dataset is validating: it must be ready before."),
    ):
        answer = await side.submit(dataset_id, "metrics", baseline_dataset_id=wrong)
        assert refused(answer) == (422, "/params/baseline_dataset_id", detail)
    jobs = [(await side.submit(dataset_id, "metrics", baseline_dataset_id=id_)).json() for id_ in (one, same, other)]
    assert [job["reused_from"] for job in jobs] == [None, jobs[0]["id"], None]
