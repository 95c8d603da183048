"""Promise: every error is a problem (RFC 9457), and says nothing that is not the reader's business."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from gristmill.api.bodies import decode_json
from gristmill.api.problems import STATUS
from gristmill.domain.pointer import fault
from gristmill.errors import Fault, GristmillError, InvalidRequest, MalformedRequest
from tests.api.serving import Served

JOB = "01900000-0000-7000-8000-000000000000"


def all_errors(kind: type[GristmillError] = GristmillError) -> set[type[GristmillError]]:
    return {kind}.union(*(all_errors(child) for child in kind.__subclasses__()))


def test_every_error_has_a_status() -> None:
    assert {kind.code for kind in all_errors()} <= STATUS.keys()


def check(answer: httpx.Response, status: int, code: str) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-Id"]
    assert answer.headers["Cache-Control"] == "no-store"
    problem = answer.json()
    assert (problem["type"], problem["status"]) == (f"urn:gristmill:problem:{code}", status)
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"] == answer.request.url.path
    return problem


async def test_unknown_paths(client: httpx.AsyncClient) -> None:
    for path in (
        "/nothing",
        "/datasets/x/y/z",
        "/schema",
        "/schema/swagger",
        "/assets/nothing.js",
        "/assets/..%2fapp.py",
    ):
        answer = await client.get(path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json"), path
    check(await client.get("/nothing"), 404, "not-found")
    check(await client.post("/nothing", json={}), 404, "not-found")


async def test_wrong_methods_say_which_are_right(client: httpx.AsyncClient) -> None:
    answer = await client.delete("/datasets")
    check(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST"
    assert (await client.put("/docs")).status_code == 405


@pytest.mark.parametrize(
    "body", [b"{", b"", b'{"kind": "metrics"', b"\xff\xfe", b'{"params":' + b"[" * 100_000, b'{"kind": "x"}}']
)
async def test_malformed_json(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/jobs", content=body, headers={"Content-Type": "application/json"})
    check(answer, 400, "malformed-request")


async def test_json_that_is_no_object(client: httpx.AsyncClient) -> None:
    for body in ("[]", "null", "1"):
        answer = await client.post("/jobs", content=body, headers={"Content-Type": "application/json"})
        assert check(answer, 422, "invalid-request")["errors"][0]["pointer"] == ""


async def test_a_json_body_over_the_limit(client: httpx.AsyncClient) -> None:
    body = json.dumps({"kind": "x" * 1024 * 1024})
    check(await client.post("/jobs", content=body, headers={"Content-Type": "application/json"}), 413, "too-large")


async def test_a_body_of_another_type(client: httpx.AsyncClient) -> None:
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", ""):
        answer = await client.post("/jobs", content=b'{"kind": "metrics"}', headers={"Content-Type": media_type})
        check(answer, 415, "unsupported-media-type")


async def test_a_request_keeps_its_id(client: httpx.AsyncClient) -> None:
    for path in ("/health/live", "/nothing", "/docs", "/openapi.json"):
        answer = await client.get(path, headers={"X-Request-Id": "mine-42"})
        assert answer.headers["X-Request-Id"] == "mine-42", path
    made = {(await client.get("/health/live")).headers["X-Request-Id"] for _ in range(2)}
    assert len(made) == 2
    for unfit in ("a b", "x" * 200):
        answer = await client.get("/health/live", headers={"X-Request-Id": unfit})
        assert answer.headers["X-Request-Id"] != unfit


async def test_head_is_get_without_a_body(client: httpx.AsyncClient) -> None:
    for path in ("/datasets", "/health/ready", "/docs", "/openapi.json", "/processors/metrics"):
        for accepted in ("identity", "zstd"):
            asked = {"Accept-Encoding": accepted}
            head, whole = await client.head(path, headers=asked), await client.get(path, headers=asked)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["Content-Length"] == str(whole.num_bytes_downloaded)
            assert head.headers.get("Content-Encoding") == whole.headers.get("Content-Encoding")
    assert (await client.head(f"/jobs/{JOB}")).status_code == 404


async def test_options_say_what_is_allowed(client: httpx.AsyncClient) -> None:
    answer = await client.options("/jobs")
    assert (answer.status_code, answer.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    assert (await client.options(f"/jobs/{JOB}/cancel")).headers["Allow"] == "OPTIONS, POST"


async def test_every_answer_is_guarded(client: httpx.AsyncClient) -> None:
    for path in ("/datasets", "/nothing", "/docs", "/redoc", "/openapi.json", "/assets/docs.js", "/health/ready"):
        headers = (await client.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "default-src" in headers["Content-Security-Policy"]
        assert "Server" not in headers


async def test_a_bad_host_header_is_a_problem(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET /jobs HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    assert b" 400 " in answer.split(b"\r\n")[0]
    assert b"application/problem+json" in answer
    writer.close()


async def test_a_client_that_goes_away_within_its_body_is_no_defect(served: Served, client: httpx.AsyncClient) -> None:
    """The fixture looks for defects in the log at the end."""
    counted = 'gristmill_http_requests_total{operation="submitJob",status="4xx"}'

    async def refused() -> float:
        lines = (await client.get("/metrics")).text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(counted))

    before = await refused()
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    head = f"POST /jobs HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nContent-Type: application/json\r\n"
    writer.write(head.encode() + b"Content-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()
    async with asyncio.timeout(30):
        while await refused() == before:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/jobs?kind=%ff", {}),
        ("GET", "/jobs?status=&limit=5", {}),
        ("GET", "/datasets?name=%ed%a0%80", {}),
        ("GET", "/jobs", {"Origin": "http://["}),
        ("GET", "/jobs", {"Origin": "null"}),
        ("GET", "/jobs", {"Authorization": "Bearer gm_\xff"}),
        ("GET", "/%00", {}),
        ("GET", "/processors/%00", {}),
        ("POST", "/datasets?name=%ff.csv", {}),
        ("POST", "/datasets?name=%00.csv", {}),
        ("POST", "/datasets?format=csv&options=nonsense", {}),
        ("POST", "/datasets?format=csv&options=[]", {}),
        ("POST", '/datasets?format=csv&options={"max_rejected":-1}', {}),
        ("POST", '/datasets?format=csv&options={"max_rejected":1e999}', {}),
        ("POST", '/datasets?format=csv&options={"strict":true,"strict":false}', {}),
        ("POST", "/datasets", {"Content-Type": "multipart/form-data; boundary="}),
        ("POST", "/datasets", {"Content-Type": "multipart/form-data; boundary=\xff"}),
        ("POST", "/datasets", {"Content-Type": "multipart/form-data; boundary*=x''y"}),
        ("POST", "/datasets", {"Content-Type": "text/csv;;;=", "Repr-Digest": "sha-256=::"}),
        ("POST", "/datasets", {"Content-Type": "/"}),
    ],
)
async def test_odd_requests_are_no_defects_of_ours(
    client: httpx.AsyncClient, method: str, path: str, headers: dict[str, str]
) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    content = b"a\n1\n" if method == "POST" else None
    answer = await client.request(method, path, headers=raw, content=content)
    assert answer.status_code < 500, answer.text


def test_messages_become_pointers() -> None:
    assert fault("Expected `int`, got `str` - at `$.a[0].b`") == Fault("/a/0/b", "Expected `int`, got `str`.")
    assert fault("Object contains unknown field `x/y`", "/params") == Fault("/params/x~1y", "There is no such field.")
    assert fault("Too long - at `key` in `$.labels`") == Fault("/labels", "A key: Too long.")


def test_an_escaped_backslash_is_no_nul() -> None:
    assert decode_json(b'"\\\\u0000"', str) == "\\u0000"
    with pytest.raises(InvalidRequest) as caught:
        decode_json(b'{"a": ["x", "\\\\\\u0000"]}', dict[str, list[str]])
    assert caught.value.errors[0].pointer == "/a/1"
    with pytest.raises(MalformedRequest):
        decode_json(b'"\\ud800"', str)
