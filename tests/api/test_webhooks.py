"""Promise: whoever names a webhook is told there of the end of the job, signed, at least once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from aiohttp import web

from gristmill.db.engine import Database
from gristmill.db.webhooks import claim_deliveries, note_final_jobs
from gristmill.domain.outcome import Failed
from gristmill.embedded import Endpoints
from gristmill.errors import BadData
from gristmill.objects import ObjectStore
from gristmill.settings import Settings
from gristmill.worker.deliverer import FORBIDDEN_TARGET, UNREACHED, Deliverer
from tests.api.queue_side import claim, complete, make_ready, settle
from tests.databases import made
from tests.receiver import Receiver, receiving
from tests.worker.rig import running, until

CSV = b"city,temperature\nOslo,4.5\nLima,19\n"
HURRY = "UPDATE webhook_deliveries SET next_at = now()"


@pytest.fixture(scope="module")
async def module_environment(endpoints: Endpoints, template_database: str) -> AsyncIterator[dict[str, str]]:
    async with made(endpoints, "api", template=template_database) as name:
        yield {**endpoints.environment(), "POSTGRES_DB": name, "WEBHOOK_NETWORKS": "127.0.0.0/8"}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


@pytest.fixture
async def dataset_id(client: httpx.AsyncClient, database: Database) -> AsyncIterator[str]:
    dataset = (await client.post("/datasets", files={"file": ("towns.csv", CSV)})).raise_for_status().json()
    await make_ready(database, dataset["links"]["ingest_job"])
    yield dataset["id"]
    async with database.driver() as driver:
        await driver.execute("TRUNCATE datasets, jobs, webhooks CASCADE")


@pytest.fixture
async def hook(client: httpx.AsyncClient, receiver: Receiver, dataset_id: str) -> dict[str, Any]:
    answer = await client.post("/webhooks", json={"url": receiver.url})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@pytest.fixture
def deliverer(settings: Settings, database: Database) -> Deliverer:
    return Deliverer(settings, database)


async def submit(client: httpx.AsyncClient, dataset_id: str, hook: dict[str, Any], **given: Any) -> str:
    body = {"kind": "metrics", "dataset_id": dataset_id, "webhook": hook["id"], "reuse": "none", **given}
    answer = await client.post("/jobs", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["webhook"] == hook["id"]
    return str(answer.json()["id"])


async def log_of(client: httpx.AsyncClient, hook: dict[str, Any]) -> list[dict[str, Any]]:
    return list((await client.get(f"/webhooks/{hook['id']}/deliveries")).raise_for_status().json()["items"])


async def hurry(database: Database) -> None:
    async with database.driver() as driver:
        await driver.execute(HURRY)


async def test_a_webhook_lives(client: httpx.AsyncClient, hook: dict[str, Any], receiver: Receiver) -> None:
    path = f"/webhooks/{hook['id']}"
    shown = (await client.get(path)).json()
    assert "secret" not in shown
    assert shown == {name: value for name, value in hook.items() if name != "secret"}
    assert (await client.get("/webhooks")).json()["items"] == [shown]
    other = f"{receiver.url}/other"
    assert (await client.patch(path, json={"url": other, "paused": True})).json()["disabled"] == "paused"
    assert (await client.patch(path, json={"paused": False})).json()["disabled"] is None
    changed = (await client.patch(path, json={})).json()
    assert (changed["url"], changed["disabled"]) == (other, None)
    assert (await client.post(f"{path}/secret", json={"secret": "no"})).status_code == 422
    assert (await client.patch(path, json={"url": "https://10.0.0.1/"})).status_code == 422
    assert (await client.delete(path)).status_code == 204
    once = [
        await client.post("/webhooks", json={"url": receiver.url}, headers={"Idempotency-Key": "one"}) for _ in range(2)
    ]
    assert once[0].json() == once[1].json()
    for gone in (client.get(path), client.delete(path), client.get(f"{path}/deliveries"), client.patch(path, json={})):
        assert (await gone).status_code == 404


async def test_all_ends_of_jobs_are_told_signed(
    *,
    client: httpx.AsyncClient,
    database: Database,
    store: ObjectStore,
    settings: Settings,
    hook: dict[str, Any],
    dataset_id: str,
    receiver: Receiver,
    deliverer: Deliverer,
) -> None:
    done = await submit(client, dataset_id, hook, reuse="any")
    await complete(database, store, settings, done)
    broken = await submit(client, dataset_id, hook)
    await settle(database, await claim(database, broken), Failed(BadData("It is empty.").problem()))
    canceled = await submit(client, dataset_id, hook)
    assert (await client.post(f"/jobs/{canceled}/cancel")).status_code == 200
    reused = await submit(client, dataset_id, hook, reuse="any")
    batch = {"jobs": [{"kind": "metrics", "dataset_id": dataset_id, "webhook": hook["id"]}] * 2}
    twins = [job["id"] for job in (await client.post("/jobs:batch", json=batch)).json()["items"]]
    unfinished = await submit(client, dataset_id, hook)
    assert (await deliverer.run_once())["sent"] == 6
    told = [receiver.verified(place, hook["secret"]) for place in range(6)]
    ends = {UUID(each["data"]["job_id"]): each["type"] for each in told}
    expected = dict.fromkeys([done, reused, *twins], "job.completed") | {broken: "job.failed", canceled: "job.canceled"}
    assert ends == {UUID(job): end for job, end in expected.items()}
    failure = next(each for each in told if each["type"] == "job.failed")
    job = (await client.get(f"/jobs/{broken}")).json()
    for name in ("type", "title", "detail"):
        assert failure["data"]["error"][name] == job["error"][name]
    log = await log_of(client, hook)
    assert [item["status"] for item in log] == ["delivered"] * 6
    assert {item["response_status"] for item in log} == {204}
    assert unfinished not in {item["job_id"] for item in log}
    assert (await deliverer.run_once())["sent"] == 0


async def test_what_is_not_taken_is_sent_again(
    client: httpx.AsyncClient,
    database: Database,
    hook: dict[str, Any],
    dataset_id: str,
    receiver: Receiver,
    deliverer: Deliverer,
) -> None:
    await client.post(f"/jobs/{await submit(client, dataset_id, hook)}/cancel")
    receiver.answers = [web.Response(status=500), web.Response(status=503, headers={"Retry-After": "7200"})]
    for attempts, status in ((1, 500), (2, 503)):
        await deliverer.run_once()
        (item,) = await log_of(client, hook)
        assert (item["status"], item["attempts"], item["response_status"]) == ("pending", attempts, status)
        assert item["next_at"] > item["created_at"]
        assert (await deliverer.run_once())["sent"] == 0, "its time has not come"
        await hurry(database)
    await deliverer.run_once()
    (item,) = await log_of(client, hook)
    assert (item["status"], item["attempts"], item["error"]) == ("delivered", 3, None)
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len({body for _, body in receiver.got}) == 1
    again = await client.post(f"/webhooks/{hook['id']}/deliveries/{item['id']}/redeliver")
    assert (again.status_code, again.json()["status"]) == (202, "pending")
    await deliverer.run_once()
    assert len(receiver.got) == 4
    unknown = await client.post(f"/webhooks/{hook['id']}/deliveries/{uuid4()}/redeliver")
    assert unknown.status_code == 404


async def test_who_is_gone_is_left_alone_until_taken_up(
    client: httpx.AsyncClient, hook: dict[str, Any], dataset_id: str, receiver: Receiver, deliverer: Deliverer
) -> None:
    receiver.answers = [web.Response(status=410)]
    for _ in range(2):
        await client.post(f"/jobs/{await submit(client, dataset_id, hook)}/cancel")
        await deliverer.run_once()
    assert len(receiver.got) == 1
    assert (await client.get(f"/webhooks/{hook['id']}")).json()["disabled"] == "gone"
    second, first = await log_of(client, hook)
    assert (first["status"], first["response_status"]) == ("failed", 410)
    assert (second["status"], second["error"]) == ("failed", "The webhook is gone.")
    await client.patch(f"/webhooks/{hook['id']}", json={"paused": False})
    await client.post(f"/webhooks/{hook['id']}/deliveries/{second['id']}/redeliver")
    await deliverer.run_once()
    assert len(receiver.got) == 2


async def test_redirects_are_not_followed(
    client: httpx.AsyncClient, hook: dict[str, Any], dataset_id: str, receiver: Receiver, deliverer: Deliverer
) -> None:
    receiver.answers = [web.HTTPTemporaryRedirect("/elsewhere"), web.HTTPFound("/elsewhere")]
    await client.post(f"/jobs/{await submit(client, dataset_id, hook)}/cancel")
    await deliverer.run_once()
    assert receiver.paths == ["/hook"]
    (item,) = await log_of(client, hook)
    assert (item["status"], item["response_status"]) == ("pending", 307)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1"])
async def test_what_the_operator_does_not_allow_is_not_connected_to(
    *,
    client: httpx.AsyncClient,
    settings: Settings,
    database: Database,
    hook: dict[str, Any],
    dataset_id: str,
    receiver: Receiver,
    host: str,
) -> None:
    url = receiver.url.replace("127.0.0.1", host)
    await client.patch(f"/webhooks/{hook['id']}", json={"url": url})
    await client.post(f"/jobs/{await submit(client, dataset_id, hook)}/cancel")
    strict = Deliverer(settings.model_copy(update={"webhook_networks": ""}), database)
    await strict.run_once()
    (item,) = await log_of(client, hook)
    assert receiver.got == []
    # A number as a host is refused by the client before it is looked up.
    assert item["status"] == "pending"
    assert item["error"] == (FORBIDDEN_TARGET if host != "2130706433" else UNREACHED)


async def test_a_silent_receiver_holds_nobody_up(
    client: httpx.AsyncClient, settings: Settings, database: Database, hook: dict[str, Any], dataset_id: str
) -> None:
    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await client.patch(f"/webhooks/{hook['id']}", json={"url": f"http://127.0.0.1:{port}/"})
    await client.post(f"/jobs/{await submit(client, dataset_id, hook)}/cancel")
    await Deliverer(settings.model_copy(update={"webhook_timeout_s": 0.2}), database).run_once()
    server.close()
    (item,) = await log_of(client, hook)
    assert item["error"] == "The receiver did not answer in time."


async def test_many_workers_send_each_once_and_a_dead_ones_are_sent_by_others(
    *,
    client: httpx.AsyncClient,
    settings: Settings,
    database: Database,
    hook: dict[str, Any],
    dataset_id: str,
    receiver: Receiver,
) -> None:
    jobs = [await submit(client, dataset_id, hook) for _ in range(30)]
    for job in jobs:
        await client.post(f"/jobs/{job}/cancel")
    assert await note_final_jobs(database, limit=10) == 10
    lost = await claim_deliveries(database, limit=3, lease_s=0)
    assert len(lost) == 3
    await asyncio.gather(*(Deliverer(settings, database).run_once() for _ in range(4)))
    told = [receiver.verified(place, hook["secret"])["data"]["job_id"] for place in range(len(receiver.got))]
    assert sorted(told) == sorted(jobs)
    assert {item["attempts"] for item in await log_of(client, hook)} == {1, 2}


async def test_secrets_rotate_without_a_gap(
    client: httpx.AsyncClient, hook: dict[str, Any], dataset_id: str, receiver: Receiver, deliverer: Deliverer
) -> None:
    fresh = (await client.post(f"/webhooks/{hook['id']}/secret", json={})).json()
    assert fresh["old_secret_until"] is not None
    await client.post(f"/jobs/{await submit(client, dataset_id, hook)}/cancel")
    await deliverer.run_once()
    assert receiver.verified(0, hook["secret"]) == receiver.verified(0, fresh["secret"])


async def test_a_webhook_that_is_not_there_is_pointed_at(client: httpx.AsyncClient, dataset_id: str) -> None:
    body = {"kind": "metrics", "dataset_id": dataset_id, "webhook": str(uuid4())}
    told = await client.post("/jobs", json=body)
    assert (told.status_code, [fault["pointer"] for fault in told.json()["errors"]]) == (422, ["/webhook"])


async def test_a_job_that_is_tried_again_is_told_again(
    client: httpx.AsyncClient, hook: dict[str, Any], dataset_id: str, receiver: Receiver, deliverer: Deliverer
) -> None:
    job = await submit(client, dataset_id, hook)
    for _ in range(2):
        await client.post(f"/jobs/{job}/cancel")
        await deliverer.run_once()
        assert (await client.post(f"/jobs/{job}/retry")).status_code == 202
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 2


async def test_a_worker_tells(
    *,
    client: httpx.AsyncClient,
    module_environment: dict[str, str],
    tmp_path: Path,
    hook: dict[str, Any],
    dataset_id: str,
    receiver: Receiver,
) -> None:
    await client.post(f"/jobs/{await submit(client, dataset_id, hook)}/cancel")
    async with running(module_environment, tmp_path):

        async def told() -> bool:
            return bool(receiver.got)

        await until(told, "the webhook is told")
