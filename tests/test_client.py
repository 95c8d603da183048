"""The client says what the server says, waits as asked, and keeps no byte that was not promised."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from gristmill.client import Client, ClientError, Job, ProblemError, ResultFile, Unreachable, WrongBytes

CONTENT = b"these are the bytes that were promised" * 1000
JOB = {"id": "j", "kind": "metrics", "dataset_id": "d", "created_at": "2026-01-02T03:04:05Z"}


@dataclass
class Answer:
    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Request:
    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Canned:
    """A server that gives its answers in order and keeps what it was asked."""

    url: str
    asked: list[Request]


@contextmanager
def serving(*answers: Answer) -> Iterator[Canned]:
    left, asked = list(answers), list[Request]()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append(Request(f"{self.command} {self.path}", dict(self.headers), body))
            given = left.pop(0)
            self.send_response(given.status)
            for name, value in {"Content-Length": str(len(given.body)), **given.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(given.body)

        do_GET = do_POST = answer  # noqa: N815 - the names http.server looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Canned(f"http://127.0.0.1:{server.server_port}", asked)
        finally:
            server.shutdown()
            thread.join()


def document(content: Mapping[str, Any], **headers: str) -> Answer:
    return Answer(json.dumps(content).encode(), headers={"Content-Type": "application/json", **headers})


def job(status: str, **headers: str) -> Answer:
    return document({**JOB, "status": status}, **headers)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def promised(url: str, content: bytes = CONTENT) -> ResultFile:
    return ResultFile(
        name="file.parquet",
        url=url,
        media_type="application/vnd.apache.parquet",
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def test_a_download_is_there_whole(tmp_path: Path) -> None:
    with serving(Answer(CONTENT)) as server, Client(server.url) as client:
        path = client.download(promised(server.url), to=tmp_path / "here")
    assert path.read_bytes() == CONTENT
    assert names_in(tmp_path) == ["here"]


@pytest.mark.parametrize("sent", [CONTENT[:-1] + b"!", CONTENT[:-1], CONTENT + b"!", b""])
def test_a_download_of_other_bytes_is_refused_and_nothing_is_kept(tmp_path: Path, sent: bytes) -> None:
    with serving(Answer(sent)) as server, Client(server.url) as client, pytest.raises(WrongBytes, match="promised"):
        client.download(promised(server.url), to=tmp_path / "here")
    assert names_in(tmp_path) == []


def test_a_refused_download_leaves_what_was_there_before(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("before")
    with serving(Answer(b"other")) as server, Client(server.url) as client, pytest.raises(WrongBytes):
        client.download(promised(server.url), to=tmp_path / "here")
    assert (tmp_path / "here").read_text() == "before"


def test_a_download_that_breaks_off_is_told(tmp_path: Path) -> None:
    short = Answer(CONTENT[:100], headers={"Content-Length": str(len(CONTENT)), "Connection": "close"})
    with serving(short) as server, Client(server.url) as client, pytest.raises(Unreachable, match="can't be"):
        client.download(promised(server.url), to=tmp_path / "here")
    assert names_in(tmp_path) == []


def test_the_store_does_not_see_the_key(tmp_path: Path) -> None:
    with serving(Answer(CONTENT)) as store, Client("http://127.0.0.1:1", api_key="gm_a_b") as client:
        client.download(promised(store.url), to=tmp_path / "here")
    assert "Authorization" not in store.asked[0].headers


def test_a_problem_is_raised_with_all_it_says() -> None:
    problem = {
        "type": "https://example.org/problems/invalid-request",
        "title": "The request does not fit",
        "status": 422,
        "detail": "The params do not fit.",
        "errors": [{"pointer": "/params/columns/0", "detail": "There is no such column."}],
    }
    refused = Answer(json.dumps(problem).encode(), 422, {"Content-Type": "application/problem+json"})
    with serving(refused) as server, Client(server.url) as client, pytest.raises(ProblemError) as caught:
        client.submit("metrics", "d", {"columns": ["x"]})
    assert caught.value.problem.status == 422
    assert caught.value.problem.type == problem["type"]
    assert str(caught.value) == "The params do not fit.\n  /params/columns/0: There is no such column."


def test_a_refusal_that_is_no_problem_document_is_told_by_its_status() -> None:
    with serving(Answer(b"<html>", 502)) as server, Client(server.url) as client, pytest.raises(ProblemError) as caught:
        client.job("j")
    assert str(caught.value) == "Bad Gateway"
    assert caught.value.problem.status == 502


def test_an_answer_of_another_shape_is_told() -> None:
    other = document({"hello": 1})
    with serving(other) as server, Client(server.url) as client, pytest.raises(ClientError, match="not what was exp"):
        client.job("j")


def test_a_server_that_is_not_there_is_told() -> None:
    with Client("http://127.0.0.1:1") as client:
        assert not client.ready()
        with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:1 does not answer"):
            client.job("j")


def test_this_machine_is_not_reached_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with serving(job("pending")) as server, Client(server.url) as client:
        assert client.job("j").status == "pending"


@pytest.mark.parametrize("by_path", [True, False])
def test_an_upload_carries_its_name_format_size_and_digest(tmp_path: Path, *, by_path: bool) -> None:
    (tmp_path / "data.ndjson").write_bytes(CONTENT)
    dataset = {"id": "d", "name": "x", "status": "validating", "format": "ndjson", "size_bytes": 1, "sha256": ""}
    sent: list[int] = []
    with serving(document(dataset)) as server, Client(server.url, api_key="gm_a_b") as client:
        content = tmp_path / "data.ndjson" if by_path else CONTENT
        client.upload(content, name=None if by_path else "data.ndjson", format="ndjson", on_sent=sent.append)
    (asked,) = server.asked
    assert (asked.line, asked.body) == ("POST /datasets?name=data.ndjson", CONTENT)
    assert asked.headers["Content-Type"] == "application/x-ndjson"
    assert asked.headers["Authorization"] == "Bearer gm_a_b"
    assert asked.headers["Repr-Digest"] == "sha-256=:sSe8JDVROeol618eYiPrJYR18VPWUVAl6aHKsJgQOII=:"
    assert sent[-1] == len(CONTENT)


def test_waiting_tells_each_change_once_and_ends_with_the_job() -> None:
    seen: list[Job] = []
    looks = [job("pending"), job("running"), job("running"), job("completed")]
    for look in looks:
        look.headers = {**look.headers, "Retry-After": "0"}
    with serving(*looks) as server, Client(server.url) as client:
        final = client.wait("j", on_change=seen.append)
    assert final.status == "completed"
    assert [known.status for known in seen] == ["pending", "running", "completed"]


def test_waiting_survives_a_server_that_asks_to_be_tried_again() -> None:
    busy = Answer(b"", 503, {"Retry-After": "0"})
    with serving(busy, job("failed")) as server, Client(server.url) as client:
        assert client.wait("j").status == "failed"


def test_waiting_ends_at_its_limit() -> None:
    slow = job("running", **{"Retry-After": "30"})
    with serving(slow) as server, Client(server.url) as client, pytest.raises(TimeoutError, match="running after 5 s"):
        client.wait("j", timeout_s=5)
