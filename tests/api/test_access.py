"""Promise: every operation says who may do it, and nothing of another owner's can be reached through any of them.

The matrix is made of the app's own routes: an operation that it has no request for fails the test, so that none is
forgotten.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest
from litestar import Litestar, get
from litestar.routes import HTTPRoute

from gristmill.api import access
from gristmill.api.access import ACCESS, check_access, is_options, operation
from gristmill.api.app import create_app
from gristmill.db.engine import Database
from gristmill.db.idempotency import RequestKey, find_answer
from gristmill.db.keys import add_key
from gristmill.db.webhooks import note_final_jobs
from gristmill.domain.key import Scope, make_key
from gristmill.errors import ConfigurationError
from gristmill.objects import ObjectStore
from gristmill.settings import Settings
from tests.api.queue_side import complete, make_ready
from tests.api.serving import until

HOOK = {"url": "https://hooks.example.org/gristmill"}
CSV = {"file": ("a.csv", b"city,temperature\nOslo,4.5\n")}
# Of the system, or of everybody: nothing of an owner's is in their answers, whoever asks.
OF_NO_OWNER = {
    "listProcessors",
    "getProcessor",
    "getQueue",
    "getMetrics",
    "getQueueHistory",
    "followQueue",
    "listWorkers",
    "pauseQueue",
    "resumeQueue",
    "listLimits",
    "setLimit",
    "createWebhook",
    "dropLimit",
    "whoAmI",
}
# Keys are the operator's: an admin reaches those of all owners, and nobody else any (test_keys.py).
OF_THE_OPERATOR = {"createKey", "listKeys", "getKey", "revokeKey", "rotateKey"}


@dataclass(frozen=True)
class Victim:
    """What another owner has."""

    headers: dict[str, str]
    dataset: str
    finished: str
    pending: str
    schedule: str
    upload: str
    webhook: str
    delivery: str
    cursors: dict[str, str]
    idempotency_key: str

    @property
    def ids(self) -> tuple[str, ...]:
        return self.dataset, self.finished, self.pending, self.schedule, self.upload, self.webhook, self.delivery


@dataclass(frozen=True)
class Attempt:
    """A request of somebody who names another owner's things, and what it must be answered."""

    method: str
    path: str
    more: dict[str, Any] = field(default_factory=dict)
    status: int = 404


def job_on(**given: Any) -> dict[str, Any]:
    return {"json": {"kind": "metrics", **given}}


def listing(name: str, path: str) -> Callable[[Victim], list[Attempt]]:
    """A list shows nothing, and takes no cursor of another's."""
    return lambda v: [
        Attempt("GET", path, status=200),
        Attempt("GET", path, {"params": {"limit": 1, "cursor": v.cursors[name]}}, status=400),
    ]


def body(v: Victim) -> dict[str, Any]:
    return {"kind": "metrics", "dataset_id": v.dataset}


ATTEMPTS: dict[str, Callable[[Victim], list[Attempt]]] = {
    "createDataset": lambda v: [
        Attempt("POST", "/datasets", {"files": CSV}, status=201),
        Attempt("POST", "/datasets", {"json": {"name": "n", "from_job": v.finished}}),
    ],
    "listDatasets": listing("datasets", "/datasets"),
    "getDataset": lambda v: [Attempt("GET", f"/datasets/{v.dataset}")],
    "changeDataset": lambda v: [Attempt("PATCH", f"/datasets/{v.dataset}", {"json": {"name": "mine"}})],
    "getUpload": lambda v: [Attempt("GET", f"/datasets/{v.upload}/upload")],
    "abortUpload": lambda v: [Attempt("DELETE", f"/datasets/{v.upload}/upload")],
    "completeUpload": lambda v: [
        Attempt("POST", f"/datasets/{v.upload}/complete", {"json": {"parts": [{"number": 1, "etag": "e"}]}})
    ],
    "downloadDataset": lambda v: [Attempt("GET", f"/datasets/{v.dataset}/content")],
    "getProfile": lambda v: [Attempt("GET", f"/datasets/{v.dataset}/profile")],
    "listRows": lambda v: [Attempt("GET", f"/datasets/{v.dataset}/rows")],
    "listRejects": lambda v: [Attempt("GET", f"/datasets/{v.dataset}/rejects")],
    "downloadRejects": lambda v: [Attempt("GET", f"/datasets/{v.dataset}/rejects/content")],
    "deleteDataset": lambda v: [
        Attempt("DELETE", f"/datasets/{v.dataset}"),
        Attempt("DELETE", f"/datasets/{v.dataset}?force=true"),
    ],
    "submitJob": lambda v: [
        Attempt("POST", "/jobs", job_on(dataset_id=v.dataset)),
        Attempt("POST", "/jobs", job_on(input={"dataset_id": v.dataset})),
        Attempt("POST", "/jobs", job_on(input={"job_id": v.finished})),
        Attempt("POST", "/jobs", {**job_on(dataset_id=v.dataset), "headers": {"Idempotency-Key": v.idempotency_key}}),
        Attempt("POST", "/jobs?validate_only=true", job_on(dataset_id=v.dataset)),
    ],
    "submitJobs": lambda v: [
        Attempt("POST", "/jobs:batch", {"json": {"jobs": [body(v)]}}, status=422),
        Attempt("POST", "/jobs:batch", {"json": {"jobs": [job_on(input={"job_id": v.finished})["json"]]}}, status=422),
    ],
    "listJobs": lambda v: [
        *listing("jobs", "/jobs")(v),
        Attempt("GET", f"/jobs?dataset_id={v.dataset}", status=200),
        Attempt("GET", "/jobs?kind=ingest", status=200),
    ],
    "getJob": lambda v: [
        Attempt("GET", f"/jobs/{v.finished}"),
        Attempt("GET", f"/jobs/{v.pending}", {"headers": {"Prefer": "wait=1"}}),
    ],
    "listEvents": lambda v: [
        Attempt("GET", f"/jobs/{v.finished}/events"),
        Attempt("GET", f"/jobs/{v.finished}/events", {"headers": {"Accept": "text/event-stream"}}),
    ],
    # It takes no id; whose jobs it tells of is tested with the stream (test_live.py).
    "followJobs": lambda v: [Attempt("GET", "/events", status=406)],
    "getResult": lambda v: [
        Attempt("GET", f"/jobs/{v.finished}/result"),
        Attempt("GET", f"/jobs/{v.finished}/result?redirect=true"),
    ],
    "listResultRows": lambda v: [Attempt("GET", f"/jobs/{v.finished}/result/rows")],
    "cancelJob": lambda v: [Attempt("POST", f"/jobs/{v.pending}/cancel")],
    "retryJob": lambda v: [Attempt("POST", f"/jobs/{v.pending}/retry")],
    "deleteJob": lambda v: [Attempt("DELETE", f"/jobs/{v.finished}")],
    "listWebhooks": listing("webhooks", "/webhooks"),
    "getWebhook": lambda v: [Attempt("GET", f"/webhooks/{v.webhook}")],
    "changeWebhook": lambda v: [Attempt("PATCH", f"/webhooks/{v.webhook}", {"json": {"paused": True}})],
    "rotateWebhookSecret": lambda v: [Attempt("POST", f"/webhooks/{v.webhook}/secret", {"json": {}})],
    "deleteWebhook": lambda v: [Attempt("DELETE", f"/webhooks/{v.webhook}")],
    "listDeliveries": lambda v: [Attempt("GET", f"/webhooks/{v.webhook}/deliveries")],
    "redeliver": lambda v: [Attempt("POST", f"/webhooks/{v.webhook}/deliveries/{v.delivery}/redeliver")],
    "createSchedule": lambda v: [
        Attempt("POST", "/schedules", {"json": {"name": "n", "cron": "0 0 * * *", "job": body(v)}})
    ],
    "listSchedules": listing("schedules", "/schedules"),
    "getSchedule": lambda v: [Attempt("GET", f"/schedules/{v.schedule}")],
    "changeSchedule": lambda v: [Attempt("PATCH", f"/schedules/{v.schedule}", {"json": {"paused": True}})],
    "deleteSchedule": lambda v: [Attempt("DELETE", f"/schedules/{v.schedule}")],
}


async def bearer(database: Database, owner: str, *scopes: Scope) -> dict[str, str]:
    token, key = make_key(owner, scopes or (Scope.READ, Scope.WRITE))
    await add_key(database, key)
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def victim(client: httpx.AsyncClient, database: Database, store: ObjectStore, settings: Settings) -> Victim:
    headers = await bearer(database, "ann")

    async def known() -> bool:
        return (await client.get("/jobs")).status_code == 401

    await until(known)

    async def post(path: str, **more: Any) -> Any:
        return (await client.post(path, headers=headers, **more)).raise_for_status().json()

    made = await post("/datasets", files=CSV)
    await post("/datasets", files=CSV)
    await make_ready(database, made["links"]["ingest_job"])
    given = {"kind": "metrics", "dataset_id": made["id"], "reuse": "none"}
    finished = (await post("/jobs", json=given))["id"]
    await complete(database, store, settings, finished)
    keyed = {**headers, "Idempotency-Key": str(uuid4())}
    pending = (await client.post("/jobs", json=given, headers=keyed)).raise_for_status().json()["id"]
    daily = {"name": "daily", "cron": "0 0 * * *", "job": given}
    schedule, _ = [(await post("/schedules", json=daily))["id"] for _ in range(2)]
    hook, _ = [(await post("/webhooks", json=HOOK))["id"] for _ in range(2)]
    told = (await post("/jobs", json={**given, "webhook": hook}))["id"]
    await post(f"/jobs/{told}/cancel")
    assert await note_final_jobs(database, limit=10) == 1
    (delivery,) = (await client.get(f"/webhooks/{hook}/deliveries", headers=headers)).json()["items"]
    upload = (await post("/datasets", json={"name": "n", "upload": "presigned", "size_bytes": 9, "format": "csv"}))[
        "id"
    ]
    cursors = {}
    for name in ("datasets", "jobs", "schedules", "webhooks"):
        page = (await client.get(f"/{name}", params={"limit": 1}, headers=headers)).raise_for_status().json()
        cursors[name] = page["next"]
    return Victim(
        headers=headers,
        dataset=made["id"],
        finished=finished,
        pending=pending,
        schedule=schedule,
        upload=upload,
        webhook=hook,
        delivery=delivery["id"],
        cursors=cursors,
        idempotency_key=keyed["Idempotency-Key"],
    )


def operations(app: Litestar) -> dict[str, tuple[str, str]]:
    """Method and path of every operation, as the app serves them."""
    return {
        operation(handler): (next(iter(handler.http_methods)), route.path_format)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if not is_options(handler)
    }


def test_the_matrix_has_a_request_for_every_operation(settings: Settings) -> None:
    served = {name for name in operations(create_app(settings)) if ACCESS[name] is not access.PUBLIC}
    assert {ACCESS[name] for name in OF_THE_OPERATOR} == {Scope.ADMIN}
    assert served == ATTEMPTS.keys() | OF_NO_OWNER | OF_THE_OPERATOR, (
        "say in ATTEMPTS how the new operation could reach another owner's"
    )
    for name, (_, path) in operations(create_app(settings)).items():
        if name in OF_NO_OWNER:
            assert "_id" not in path, f"{name} takes an id: it belongs in ATTEMPTS"


async def test_nothing_of_another_owners_can_be_reached(
    client: httpx.AsyncClient, database: Database, victim: Victim, settings: Settings
) -> None:
    before = [(await client.get(path, headers=victim.headers)).json() for path in paths(victim)]
    bob = await bearer(database, "bob", *Scope)  # not even an admin is another owner
    served = operations(create_app(settings))
    for name, attempts in ATTEMPTS.items():
        for attempt in attempts(victim):
            # The request is of this operation: its path is the route's, with the ids filled in.
            method, path = served[name]
            assert attempt.method == method
            assert attempt.path.partition("?")[0].count("/") == path.count("/"), name
            more = {**attempt.more, "headers": {**attempt.more.get("headers", {}), **bob}}
            answer = await client.request(method, attempt.path, **more)
            assert answer.status_code == attempt.status, (name, attempt, answer.text)
            assert not [
                known for known in victim.ids if known in answer.text.replace(attempt.path.partition("?")[0], "")
            ], name
            if attempt.status == 200:
                own = (await client.get("/datasets", headers=bob)).json()["items"]
                shown = answer.json()["items"]
                assert name in ("listDatasets", "listJobs") or not shown, name
                assert {item.get("dataset_id", item["id"]) for item in shown} <= {item["id"] for item in own}, name
    after = [(await client.get(path, headers=victim.headers)).json() for path in paths(victim)]
    assert after == before, "something of hers was changed"


def paths(victim: Victim) -> list[str]:
    looked_at = [f"/datasets/{victim.dataset}", f"/schedules/{victim.schedule}", f"/webhooks/{victim.webhook}"]
    looked_at += [f"/webhooks/{victim.webhook}/deliveries"]
    jobs = [path for job in (victim.finished, victim.pending) for path in (f"/jobs/{job}", f"/jobs/{job}/events")]
    return [*looked_at, *jobs, "/datasets", "/jobs", "/schedules"]


async def test_every_operation_asks_for_its_scope_and_no_other(
    client: httpx.AsyncClient, database: Database, victim: Victim, settings: Settings
) -> None:
    del victim  # there are keys
    keys = {scope: await bearer(database, "carl", scope) for scope in Scope}
    none = "01900000-0000-7000-8000-000000000000"
    for name, (method, path) in operations(create_app(settings)).items():
        filled = path.replace("{limit_scope}", "kind").replace("{name}", "none").replace("{kind}", "metrics")
        filled = filled.replace("{build}", "none")
        for part in ("job_id", "dataset_id", "schedule_id", "webhook_id", "delivery_id", "key_id"):
            filled = filled.replace("{" + part + "}", none)
        assert "{" not in filled, f"say what to fill in: {filled}"
        needed = ACCESS[name]
        for scope, headers in keys.items():
            enough = needed is None or scope in (needed, Scope.ADMIN)
            if enough and needed is Scope.ADMIN and method == "POST":
                continue  # it would stop the queue
            answer = await client.request(method, filled, headers=headers)
            assert (answer.status_code == 403) == (not enough), (name, scope, answer.text)


@get("/new", operation_id="somethingNew")
async def something_new() -> None: ...


def test_an_app_with_an_operation_that_nobody_may_do_does_not_start(settings: Settings) -> None:
    app = create_app(settings)
    app.register(something_new)
    with pytest.raises(ConfigurationError, match="somethingNew"):
        check_access(app.routes)


def test_an_entry_of_nothing_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ACCESS, "somethingOld", Scope.READ)
    with pytest.raises(ConfigurationError, match="somethingOld"):
        create_app(settings)


async def test_an_idempotency_key_is_its_owners(database: Database, victim: Victim) -> None:
    for owner, found in (("ann", True), ("dora", False)):
        key = RequestKey(owner=owner, key=victim.idempotency_key, payload_sha256=None, idle_s=60)
        assert (await find_answer(database, key) is not None) == found
