"""Promise: what a browser, a proxy or a stranger's page may do with our answers is said on each of them."""

import gzip
import json
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import httpx
import pytest
import zstandard

from gristmill.db.audit import list_audit
from gristmill.db.engine import Database
from gristmill.db.keys import add_key, revoke_key
from gristmill.domain.audit import AuditAction
from gristmill.domain.key import Scope, make_key
from tests.api.serving import Served, serving

PAGES = "https://console.example"
STRICT = {"ALLOWED_HOSTS": "api.example, *.gristmill.example", "CORS_ORIGINS": PAGES}


@pytest.fixture(scope="module")
def strict(module_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving({**module_environment, **STRICT}, tmp_path_factory.mktemp("edge") / "log") as running:
        yield running


@pytest.fixture
async def public(strict: Served, database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a key, which asks for one of the allowed hosts."""
    token, key = make_key("ann", list(Scope))
    await add_key(database, key)
    given = {"Host": "api.example", "Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=strict.url, headers=given) as opened:
        yield opened


async def test_only_allowed_hosts_are_answered(public: httpx.AsyncClient, strict: Served) -> None:
    for host in ("api.example", "API.example:8000", "a.gristmill.example"):
        assert (await public.get("/jobs", headers={"Host": host})).status_code == 200, host
    for host in ("evil.example", "gristmill.example", "api.example.evil.example", f"127.0.0.1:{strict.port}", "[", ""):
        for path in ("/jobs", "/docs", "/openapi.json"):
            answer = await public.get(path, headers={"Host": host})
            assert (answer.status_code, answer.json()["type"]) == (421, "urn:gristmill:problem:misdirected-request")
    assert (await public.get("/health/live", headers={"Host": "10.0.0.7"})).status_code == 200


async def test_pages_of_named_origins_may_use_the_api_and_no_others(public: httpx.AsyncClient) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    allowed = await public.options("/jobs", headers={"Origin": PAGES, **asked})
    assert allowed.status_code == 204
    assert allowed.headers["Access-Control-Allow-Origin"] == PAGES
    assert "POST" in allowed.headers["Access-Control-Allow-Methods"]
    told = await public.get("/jobs", headers={"Origin": PAGES})
    assert told.headers["Access-Control-Allow-Origin"] == PAGES
    assert "RateLimit" in told.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in told.headers
    for origin in ("https://evil.example", "null", f"{PAGES}.evil.example"):
        other = await public.get("/jobs", headers={"Origin": origin})
        assert "Access-Control-Allow-Origin" not in other.headers, origin


async def test_by_default_no_other_origin_may(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health/live", headers={"Origin": PAGES})
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/jobs", "/nothing/here", "/health/live", "/processors"])
async def test_every_answer_says_what_browsers_and_caches_may_do(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"


async def test_large_answers_are_compressed_for_who_asks(client: httpx.AsyncClient) -> None:
    """The body is taken as it comes over the wire, so that no client library takes part."""

    async def raw(accepted: str, path: str = "/openapi.json") -> tuple[httpx.Headers, bytes]:
        async with client.stream("GET", path, headers={"Accept-Encoding": accepted}) as answer:
            return answer.headers, b"".join([chunk async for chunk in answer.aiter_raw()])

    headers, plain = await raw("identity")
    assert "Content-Encoding" not in headers
    for accepted, encoding, expand in (
        ("gzip, deflate", "gzip", gzip.decompress),
        ("gzip, zstd", "zstd", zstandard.ZstdDecompressor().decompressobj().decompress),
    ):
        headers, packed = await raw(accepted)
        assert headers["Content-Encoding"] == encoding
        assert "Accept-Encoding" in headers["Vary"]
        assert int(headers["Content-Length"]) == len(packed) < len(plain) / 4
        assert json.loads(expand(packed)) == json.loads(plain)
    headers, small = await raw("gzip, zstd", "/health/live")
    assert "Content-Encoding" not in headers
    assert json.loads(small) == {"status": "live"}


async def test_a_request_id_is_echoed_where_it_fits_a_log_line(client: httpx.AsyncClient) -> None:
    own = str(uuid4())
    assert (await client.get("/jobs", headers={"X-Request-Id": own})).headers["X-Request-Id"] == own
    for given in ("a b", "x" * 129, "é"):
        told = (await client.get("/jobs", headers=[(b"X-Request-Id", given.encode())])).headers["X-Request-Id"]
        assert told != given
        assert len(told) == 36


async def test_refused_keys_and_deletions_are_written_down(
    public: httpx.AsyncClient, database: Database, strict: Served
) -> None:
    made = await public.post("/datasets?force=1", content=b"a\n1\n", headers={"Content-Type": "text/csv"})
    dataset = made.raise_for_status().json()["id"]
    assert (await public.delete(f"/datasets/{dataset}?force=true")).status_code == 204
    mine = public.headers["Authorization"].split("_")[1]
    await revoke_key(database, mine)
    for _ in range(3):
        assert (await public.get("/jobs")).status_code == 401
    told = [(event.action, event.subject, event.key_id, event.reason) for event in await list_audit(database, limit=3)]
    assert told == [
        (AuditAction.KEY_REFUSED, mine, None, "revoked"),  # once, though it was three times
        (AuditAction.KEY_REVOKED, mine, None, None),
        (AuditAction.DATASET_DELETED, dataset, mine, None),
    ]
    lines = [json.loads(line) for line in strict.logged().splitlines()]
    assert [line["reason"] for line in lines if line["event"] == "key.refused"] == ["revoked"]
    assert [line["dataset_id"] for line in lines if line["event"] == "dataset.deleted"] == [dataset]
