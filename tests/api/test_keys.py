"""Promise: an admin keeps everybody's keys over the API, a secret is told once and kept nowhere, and no admin locks
himself out without knowing.
"""

import math
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import pytest

from gristmill import AsyncClient
from gristmill.client import Retry, errors
from gristmill.db.audit import list_audit
from gristmill.db.engine import Database
from gristmill.db.keys import add_key, keys_exist
from gristmill.domain.key import Scope, make_key
from tests.api.serving import Served, until
from tests.exposition import parsed

DAY = timedelta(days=1)
# Everything that is kept, as text.
KEPT = "SELECT string_agg(row_to_json(kept)::text, '') FROM {} AS kept"
TABLES = ("api_keys", "idempotency_keys", "audit_events")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.fixture
async def admin(client: httpx.AsyncClient, database: Database) -> httpx.AsyncClient:
    """The client with an admin's key, at a server that knows that there are keys. `admin.headers` has it."""
    token, key = make_key("root", [Scope.ADMIN])
    await add_key(database, key)

    async def asked_for() -> bool:
        return (await client.get("/jobs")).status_code == 401

    await until(asked_for)
    client.headers.update(bearer(token))
    return client


def own_id(client: httpx.AsyncClient) -> str:
    return client.headers["Authorization"].split("_")[1]


async def made(client: httpx.AsyncClient, **given: Any) -> dict[str, Any]:
    answer = await client.post("/keys", json={"owner": "ann", **given})
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def opens(client: httpx.AsyncClient, token: str) -> bool:
    """Whether a key is taken: it is asked who it is, which needs `read`."""
    return (await client.get("/whoami", headers=bearer(token))).status_code != 401


async def test_the_first_key_is_an_admins_and_ends_the_open_door_at_once(
    client: httpx.AsyncClient, database: Database
) -> None:
    assert not await keys_exist(database), "this test comes first"
    everything = ["read", "write", "admin"]
    assert (await client.get("/whoami")).json() == {"owner": "local", "scopes": everything, "key_id": None}
    assert (await client.get("/keys")).json() == {"items": []}
    for method, path in (("GET", "/keys/abc"), ("POST", "/keys/abc/revoke"), ("POST", "/keys/abc/rotate")):
        assert (await client.request(method, path, json={})).status_code == 404
    weak = await client.post("/keys", json={"owner": "local"})
    assert (weak.status_code, weak.json()["errors"][0]["pointer"]) == (422, "/scopes")
    assert not await keys_exist(database)
    foreign = await client.post("/keys", json={"owner": "x", "scopes": ["admin"]}, headers={"Origin": "https://x.org"})
    assert foreign.status_code == 403, "no page of another site makes it"
    first = await made(client, owner="local", scopes=["admin"])
    assert (await client.post("/keys", json={"owner": "x", "scopes": ["admin"]})).status_code == 401
    assert (await client.get("/jobs")).status_code == 401
    told = (await client.get("/whoami", headers=bearer(first["key"]))).json()
    assert told == {"owner": "local", "scopes": ["admin"], "key_id": first["id"]}


async def test_a_key_that_was_made_does_what_it_says(admin: httpx.AsyncClient) -> None:
    in_an_hour = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    answer = await admin.post(
        "/keys", json={"owner": "ann", "name": "ci", "scopes": ["read"], "expires_at": in_an_hour}
    )
    told = answer.json()
    assert answer.headers["Location"] == f"/keys/{told['id']}"
    assert answer.headers["Cache-Control"] == "no-store"
    assert (told["owner"], told["name"], told["scopes"], told["status"]) == ("ann", "ci", ["read"], "active")
    assert at(told["expires_at"]) == at(in_an_hour)
    anns = bearer(told["key"])
    assert (await admin.get("/whoami", headers=anns)).json()["owner"] == "ann"
    assert (await admin.post("/jobs", headers=anns, json={})).status_code == 403
    assert (await admin.get("/keys", headers=anns)).status_code == 403, "keys are for admins"
    looked_at = (await admin.get(answer.headers["Location"])).json()
    assert looked_at["last_used_at"] is not None
    assert looked_at == {name: value for name, value in told.items() if name != "key"} | {
        "last_used_at": looked_at["last_used_at"]
    }


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"owner": ""}, "/owner"),
        ({"owner": " ann"}, "/owner"),
        ({"owner": "a\nb"}, "/owner"),
        ({"owner": "x" * 201}, "/owner"),
        ({"name": "x" * 201}, "/name"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["root"]}, "/scopes/0"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"secret": "mine"}, "/secret"),
    ],
)
async def test_what_does_not_fit_is_pointed_at(admin: httpx.AsyncClient, given: dict[str, Any], pointer: str) -> None:
    answer = await admin.post("/keys", json={"owner": "ann", **given})
    assert (answer.status_code, [fault["pointer"] for fault in answer.json()["errors"]]) == (422, [pointer])


async def test_a_secret_is_told_once_and_kept_nowhere(
    admin: httpx.AsyncClient, database: Database, served: Served
) -> None:
    keyed = {"Idempotency-Key": str(uuid4())}
    body = {"owner": "ann", "name": "told once"}
    first = await admin.post("/keys", json=body, headers=keyed)
    again = await admin.post("/keys", json=body, headers=keyed)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert again.json() == first.json() | {"key": None}, "the same answer, without what is kept nowhere"
    other = await admin.post("/keys", json={**body, "name": "another"}, headers=keyed)
    assert (other.status_code, other.json()["type"].rpartition(":")[2]) == (422, "idempotency-key-reused")

    rotation = {"Idempotency-Key": str(uuid4())}
    path = f"{first.headers['Location']}/rotate"
    rotated = await admin.post(path, json={}, headers=rotation)
    replayed = await admin.post(path, json={}, headers=rotation)
    assert (rotated.status_code, replayed.status_code) == (201, 201)
    assert replayed.json() == rotated.json() | {"key": None}

    listed = (await admin.get("/keys", params={"owner": "ann", "limit": 500})).text
    async with database.driver() as driver:
        kept = [await driver.fetchval(KEPT.format(table)) for table in TABLES]
    for token in (first.json()["key"], rotated.json()["key"]):
        assert await opens(admin, token)
        secret = token.split("_")[2]
        assert secret not in "".join([listed, *kept, served.logged()])
        assert token.split("_")[1] in kept[0]


async def test_the_list_is_paged_newest_first_and_filtered(admin: httpx.AsyncClient) -> None:
    owner = f"owner {uuid4()}"
    ids = [(await made(admin, owner=owner, name=str(place)))["id"] for place in range(5)]
    await admin.post(f"/keys/{ids[1]}/revoke")
    seen: list[str] = []
    query: dict[str, Any] = {"owner": owner, "limit": 2}
    while True:
        answer = (await admin.get("/keys", params=query)).raise_for_status()
        seen += [item["id"] for item in answer.json()["items"]]
        assert not [item for item in answer.json()["items"] if "key" in item or "secret_sha256" in item]
        if "next" not in answer.json():
            break
        assert (
            f"</keys?{urlencode({'owner': owner, 'limit': 2, 'cursor': answer.json()['next']})}>"
            in answer.headers["Link"]
        )
        query["cursor"] = answer.json()["next"]
        if len(seen) == 2:
            await made(admin, owner=owner)  # it is above the page, and moves nothing
    assert seen == ids[::-1]
    revoked = (await admin.get("/keys", params={"owner": owner, "status": "revoked"})).json()["items"]
    assert [(item["id"], item["status"]) for item in revoked] == [(ids[1], "revoked")]
    assert len((await admin.get("/keys", params={"owner": owner, "status": "active"})).json()["items"]) == 5
    assert (await admin.get("/keys", params={**query, "owner": "ann"})).status_code == 400, "of another list"
    assert (await admin.get("/keys", params={"status": "lost"})).status_code == 422


async def test_a_revoked_key_ends_at_once(admin: httpx.AsyncClient) -> None:
    told = await made(admin)
    assert await opens(admin, told["key"])
    first = await admin.post(f"/keys/{told['id']}/revoke")
    assert (first.status_code, first.json()["status"]) == (200, "revoked")
    assert not await opens(admin, told["key"])
    again = await admin.post(f"/keys/{told['id']}/revoke")
    assert again.json()["revoked_at"] == first.json()["revoked_at"], "it stays as it is"
    late = await admin.post(f"/keys/{told['id']}/rotate", json={})
    assert (late.status_code, late.json()["detail"]) == (409, "The key is revoked.")
    assert (await admin.post("/keys/nosuchkey000/revoke")).status_code == 404


async def test_the_key_in_use_is_neither_revoked_nor_ended_within_the_hour(admin: httpx.AsyncClient) -> None:
    own = own_id(admin)
    refused = await admin.post(f"/keys/{own}/revoke")
    assert refused.status_code == 409
    short = await admin.post(f"/keys/{own}/rotate", json={"overlap_s": 3599})
    assert (short.status_code, short.json()["errors"][0]["pointer"]) == (422, "/overlap_s")
    assert (await admin.get(f"/keys/{own}")).json()["status"] == "active"
    told = (await admin.post(f"/keys/{own}/rotate", json={"overlap_s": 3600})).raise_for_status().json()
    assert told["scopes"] == ["admin"]
    # With its successor it can be ended at once.
    admin.headers.update(bearer(told["key"]))
    assert (await admin.post(f"/keys/{own}/revoke")).json()["status"] == "revoked"
    assert own_id(admin) == told["id"]


async def test_a_rotated_key_and_its_successor_are_both_valid_for_a_while(admin: httpx.AsyncClient) -> None:
    old = await made(admin, name="import", scopes=["write", "read"])
    told = (await admin.post(f"/keys/{old['id']}/rotate", json={"overlap_s": 60})).raise_for_status().json()
    assert (told["owner"], told["name"], told["scopes"]) == ("ann", "import", ["read", "write"])
    assert told["expires_at"] is None
    assert told["replaces"]["replaced_by"] == told["id"]
    left = at(told["replaces"]["expires_at"]) - datetime.now(UTC)
    assert timedelta(seconds=30) < left <= timedelta(seconds=61)
    assert await opens(admin, old["key"])
    assert await opens(admin, told["key"])
    again = await admin.post(f"/keys/{old['id']}/rotate", json={})
    assert again.status_code == 409
    assert told["id"] in again.json()["detail"]

    ended = (await admin.post(f"/keys/{told['id']}/rotate", json={"overlap_s": 0})).raise_for_status().json()
    assert not await opens(admin, told["key"])
    assert (await admin.get(f"/keys/{told['id']}")).json()["status"] == "expired"
    until_then = (datetime.now(UTC) + DAY).isoformat()
    dated = await admin.post(f"/keys/{ended['id']}/rotate", json={"expires_at": until_then})
    assert at(dated.json()["expires_at"]) == at(until_then)
    kept = await admin.post(f"/keys/{dated.json()['id']}/rotate", json={"overlap_s": 7 * 86400})
    assert at(kept.json()["expires_at"]) == at(until_then), "as the old one would have"
    assert at(kept.json()["replaces"]["expires_at"]) == at(until_then), "an overlap makes no key live longer"
    for_good = await admin.post(f"/keys/{kept.json()['id']}/rotate", json={"expires_at": None})
    assert for_good.json()["expires_at"] is None


async def test_the_audit_trail_says_which_admin_did_it(admin: httpx.AsyncClient, database: Database) -> None:
    told = await made(admin)
    new = (await admin.post(f"/keys/{told['id']}/rotate", json={})).json()
    for _ in range(2):
        await admin.post(f"/keys/{told['id']}/revoke")
    events = [event for event in await list_audit(database, limit=20) if event.subject in (told["id"], new["id"])]
    assert {event.key_id for event in events} == {own_id(admin)}
    assert {event.owner for event in events} == {"ann"}
    assert [(event.action, event.subject) for event in reversed(events)] == [
        ("key.created", told["id"]),
        ("key.rotated", told["id"]),
        ("key.created", new["id"]),
        ("key.revoked", told["id"]),
    ]


async def test_it_is_told_before_nobody_is_an_admin_any_more(
    admin: httpx.AsyncClient, database: Database, served: Served
) -> None:
    """In the log and as a metric: when an admin asks, and anew when keys have changed. Nothing while one never ends."""

    async def end() -> float:
        found = parsed((await admin.get("/metrics")).raise_for_status().text)
        return found["gristmill_admin_keys_expire_timestamp_seconds"]

    async with database.driver() as driver:
        others = "UPDATE api_keys SET revoked_at = now() WHERE id <> $1 AND revoked_at IS NULL"
        await driver.execute(others, own_id(admin))
        ending = "UPDATE api_keys SET expires_at = now() + interval '3 days' WHERE id = $1 RETURNING expires_at"
        soon = await driver.fetchval(ending, own_id(admin))
    await made(admin, scopes=["read"], expires_at="2099-01-01T00:00:00Z")
    told = served.logged().count("key.last_admin_expires")
    assert await end() == pytest.approx(soon.timestamp())
    lines = [line for line in served.logged().splitlines() if "key.last_admin_expires" in line]
    assert len(lines) == told + 1
    assert own_id(admin) in lines[-1]
    assert "3.0" in lines[-1]
    await end()
    assert served.logged().count("key.last_admin_expires") == told + 1, "once an hour"
    lasting = await made(admin, owner="root", scopes=["admin"])
    assert await end() == math.inf
    (await admin.post(f"/keys/{lasting['id']}/revoke")).raise_for_status()
    assert await end() == pytest.approx(soon.timestamp())


async def test_the_client_keeps_keys(admin: httpx.AsyncClient, served: Served) -> None:
    token = admin.headers["Authorization"].removeprefix("Bearer ")
    owner = f"owner {uuid4()}"
    async with AsyncClient(served.url, api_key=token, retry=Retry(attempts=1)) as client:
        assert (await client.who_am_i()).key_id == own_id(admin)
        expires_at = datetime.now(UTC) + DAY
        first = await client.create_key(owner, scopes=["read"], name="mine", expires_at=expires_at)
        assert first.key is not None
        assert first.key not in repr(first)
        assert (first.name, first.scopes, first.expires_at) == ("mine", ("read",), expires_at)
        second = await client.rotate_key(first.id, overlap_s=60)
        assert second.key not in (None, first.key)
        assert second.replaces is not None
        assert second.replaces.replaced_by == second.id
        assert (await client.revoke_key(first.id)).status == "revoked"
        assert [key.id async for key in client.keys(owner=owner)] == [second.id, first.id]
        assert [key.id async for key in client.keys(owner=owner, status="active")] == [second.id]
        with pytest.raises(errors.Conflict):
            await client.revoke_key(own_id(admin))
        with pytest.raises(errors.Conflict, match="rotated already"):
            await client.rotate_key((await client.rotate_key(second.id)).replaces.id)  # type: ignore[union-attr]
