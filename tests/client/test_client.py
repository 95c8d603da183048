"""The client says what the server says, waits as asked, and keeps no byte that was not promised."""

import hashlib
import inspect
import json
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gristmill import AsyncClient, Client, client
from gristmill.api.problems import STATUS
from gristmill.client import (
    ClientError,
    JobInfo,
    Problem,
    ProblemError,
    Result,
    Retry,
    UnexpectedAnswer,
    Unreachable,
    WaitTimedOut,
    WrongBytes,
)
from gristmill.client import errors as tree
from tests.client.canned import DATASET, Answer, Canned, document, job, problem, serving

CONTENT = b"these are the bytes that were promised" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ONCE = Retry(attempts=1)
AT_ONCE = Retry(base_s=0.0)
THRICE = Retry(attempts=3, base_s=0.0)
AWAY = Answer(b"", 503, {"Retry-After": "0"})


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@contextmanager
def result_of(*contents: Answer, retry: Retry = ONCE) -> Iterator[tuple[Result, Canned]]:
    """A result whose one file comes from a store of its own."""
    with serving(*contents) as store:
        file = {"name": "file.parquet", "url": store.url, "media_type": "", "size_bytes": len(CONTENT)}
        told = document({"files": [{**file, "sha256": SHA256}], "report": {"rows": 1}})
        with serving(job("completed"), told) as api, Client(api.url, api_key="gm_a_b", retry=retry) as opened:
            yield opened.job("j").result(), store


def test_a_download_is_there_whole(tmp_path: Path) -> None:
    with result_of(Answer(CONTENT)) as (result, store):
        path = result.download(tmp_path / "here")
    assert path.read_bytes() == CONTENT
    assert names_in(tmp_path) == ["here"]
    assert "Authorization" not in store.asked[0].headers, "the store must not see the key"


@pytest.mark.parametrize("sent", [CONTENT[:-1] + b"!", CONTENT[:-1], CONTENT + b"!", b""])
def test_a_download_of_other_bytes_is_refused_and_leaves_what_was_there(tmp_path: Path, sent: bytes) -> None:
    (tmp_path / "here").write_text("before")
    with result_of(Answer(sent)) as (result, _), pytest.raises(WrongBytes, match="promised"):
        result.download(tmp_path / "here")
    assert (tmp_path / "here").read_text() == "before"
    assert names_in(tmp_path) == ["here"]


def test_a_download_that_breaks_off_begins_again(tmp_path: Path) -> None:
    short = Answer(CONTENT[:100], headers={"Content-Length": str(len(CONTENT)), "Connection": "close"})
    with result_of(short, Answer(CONTENT), retry=AT_ONCE) as (result, store):
        assert result.download(tmp_path).read_bytes() == CONTENT
    assert names_in(tmp_path) == ["file.parquet"]
    with result_of(short) as (result, store), pytest.raises(Unreachable) as caught:
        result.download(tmp_path / "other")
    assert store.url not in str(caught.value), "who has the URL of an object has the object"
    assert names_in(tmp_path) == ["file.parquet"]


def test_a_problem_is_raised_as_its_class_with_all_it_says() -> None:
    fault = {"pointer": "/params/columns/0", "detail": "There is no such column."}
    refused = problem("invalid-request", 422, detail="The params do not fit.", errors=[fault])
    with serving(refused) as server, Client(server.url) as opened, pytest.raises(tree.InvalidRequest) as caught:
        opened.submit("metrics", "d", {"columns": ["x"]})
    error = caught.value
    assert (error.status, error.code, error.type) == (422, "invalid-request", "urn:gristmill:problem:invalid-request")
    assert [(fault.pointer, fault.detail) for fault in error.errors] == [tuple(fault.values())]
    assert str(error) == "The params do not fit.\n  /params/columns/0: There is no such column."
    assert len(server.asked) == 1, "what does not fit is not sent again"


def test_every_problem_of_the_server_has_a_class_and_the_tree_is_drawn() -> None:
    assert set(tree.BY_CODE) == set(STATUS)
    drawn = set(re.findall(r"── (\w+)", tree.__doc__ or "")) | {"ClientError"}
    defined = {
        name
        for name, kind in vars(tree).items()
        if inspect.isclass(kind) and issubclass(kind, ClientError) and kind.__module__ == tree.__name__
    }
    assert drawn == defined


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, tree.NotFound), (418, tree.Rejected), (502, tree.Unavailable), (500, tree.ServerFault), (302, ProblemError)],
)
def test_a_refusal_with_an_unknown_code_is_told_by_its_status(status: int, kind: type[ProblemError]) -> None:
    error = tree.problem_error(Problem(type="urn:other:new", status=status, title="Other"))
    assert type(error) is kind
    assert str(error) == "Other"


def test_a_refusal_that_is_no_problem_document_is_told_by_its_status() -> None:
    with (
        serving(Answer(b"<html>", 502)) as server,
        Client(server.url, retry=ONCE) as opened,
        pytest.raises(tree.Unavailable, match="Bad Gateway"),
    ):
        opened.job("j")


def test_an_answer_of_another_shape_is_told() -> None:
    with (
        serving(document({"hello": 1})) as server,
        Client(server.url) as opened,
        pytest.raises(UnexpectedAnswer, match="not what was exp"),
    ):
        opened.job("j")


def test_a_server_that_is_not_there_is_told() -> None:
    with Client("http://127.0.0.1:1", retry=ONCE) as opened:
        assert not opened.ready()
        with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:1 does not answer"):
            opened.job("j")


def test_this_machine_is_not_reached_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with serving(job("pending")) as server, Client(server.url) as opened:
        assert opened.job("j").status == "pending"


def test_server_and_key_come_from_the_environment_and_a_key_goes_to_no_other_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(job("pending"), job("pending")) as server:
        monkeypatch.setenv("GRISTMILL_URL", server.url + "/")
        monkeypatch.setenv("GRISTMILL_API_KEY", "gm_a_b")
        for opened in (Client(), Client(server.url)):
            with opened:
                opened.job("j")
    assert [request.headers.get("Authorization") for request in server.asked] == ["Bearer gm_a_b", None]


@pytest.mark.parametrize("by_path", [True, False])
def test_an_upload_carries_its_name_format_options_size_and_digest(tmp_path: Path, *, by_path: bool) -> None:
    (tmp_path / "data.ndjson").write_bytes(CONTENT)
    sent: list[int] = []
    with serving(document(DATASET)) as server, Client(server.url, api_key="gm_a_b") as opened:
        source: Any = tmp_path / "data.ndjson" if by_path else CONTENT
        name = None if by_path else "data.ndjson"
        opened.upload(source, name=name, format="ndjson", options={"strict": True}, on_sent=sent.append)
    (asked,) = server.asked
    assert asked.line == "POST /datasets?name=data.ndjson&format=ndjson&options=%7B%22strict%22%3Atrue%7D"
    assert asked.body == CONTENT
    assert asked.headers["Authorization"] == "Bearer gm_a_b"
    assert asked.headers["Repr-Digest"] == "sha-256=:sSe8JDVROeol618eYiPrJYR18VPWUVAl6aHKsJgQOII=:"
    assert sent[-1] == len(CONTENT)


def test_an_upload_and_a_job_are_sent_again_with_the_same_key(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes(CONTENT)
    with (
        serving(AWAY, document(DATASET), AWAY, AWAY, job("pending")) as server,
        Client(server.url, retry=AT_ONCE) as opened,
    ):
        assert opened.submit("metrics", opened.upload(tmp_path / "data.csv")).status == "pending"
    assert [len(request.body) for request in server.asked[:2]] == [len(CONTENT), len(CONTENT)]
    keys = [request.headers["Idempotency-Key"] for request in server.asked]
    assert keys[0] == keys[1] != keys[2]
    assert keys[2] == keys[3] == keys[4]


def test_a_post_without_a_key_is_sent_once() -> None:
    with (
        serving(job("running"), AWAY) as server,
        Client(server.url, retry=AT_ONCE) as opened,
        pytest.raises(tree.Unavailable),
    ):
        opened.job("j").cancel()
    assert [request.line for request in server.asked] == ["GET /jobs/j", "POST /jobs/j/cancel"]


def test_pauses_grow_with_full_jitter_and_are_as_long_as_the_server_asks() -> None:
    rng, retry = random.Random(1), Retry(attempts=8, base_s=1.0, cap_s=10.0, patience_s=30.0)
    for attempt, most_s in ((1, 1.0), (2, 2.0), (4, 8.0), (7, 10.0)):
        pauses = [retry.pause_s(attempt, Unreachable(), rng) or 0.0 for _ in range(300)]
        assert 0.0 <= min(pauses) < most_s * 0.1
        assert most_s * 0.9 < max(pauses) <= most_s
    assert retry.pause_s(8, Unreachable(), rng) is None
    busy = Problem(status=429)
    assert retry.pause_s(1, ProblemError(busy, retry_after_s=20.0), rng) == 20.0
    assert retry.pause_s(1, ProblemError(busy, retry_after_s=31.0), rng) is None
    assert retry.pause_s(1, ProblemError(Problem(status=422)), rng) is None


def test_a_retry_after_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("gristmill.client.transport.time.sleep", slept.append)
    busy = Answer(b"", 429, {"Retry-After": "7"})
    with serving(busy, job("pending")) as server, Client(server.url) as opened:
        assert opened.job("j").status == "pending"
    assert slept == [7.0]


def test_waiting_tells_each_change_once_and_ends_with_the_job() -> None:
    seen: list[JobInfo] = []
    looks = [job(status, **{"Retry-After": "0"}) for status in ("pending", "running", "running", "completed")]
    with serving(job("pending"), *looks) as server, Client(server.url) as opened:
        final = opened.job("j").wait(on_change=seen.append)
    assert final.status == "completed"
    assert [known.status for known in seen] == ["pending", "running", "completed"]


def test_waiting_asks_the_server_to_wait() -> None:
    tagged = job("running", ETag='W/"a"')
    same = Answer(b"", 304, {"Preference-Applied": "wait=25", "ETag": 'W/"a"'})
    with serving(tagged, tagged, same, job("completed")) as server, Client(server.url) as opened:
        opened.job("j").wait()
    asked = [(request.headers.get("Prefer"), request.headers.get("If-None-Match")) for request in server.asked]
    assert asked == [(None, None), (None, None), ("wait=25", 'W/"a"'), ("wait=25", 'W/"a"')]


def test_waiting_ends_at_its_limit() -> None:
    slow = job("running", **{"Retry-After": "30"})
    with (
        serving(slow, slow) as server,
        Client(server.url) as opened,
        pytest.raises(WaitTimedOut, match="running after 5 s") as caught,
    ):
        opened.job("j").wait(timeout_s=5)
    assert isinstance(caught.value, TimeoutError)


def test_events_go_on_where_they_were_cut_off() -> None:
    def events(*ids: int, cut: bool = False) -> Answer:
        told = [{"id": n, "at": "2026-01-02T03:04:05Z", "type": "claimed", "attempt": 1, "data": {}} for n in ids]
        text = "retry: 1000\n\n" + "".join(f"id: {e['id']}\nevent: x\ndata: {json.dumps(e)}\n\n" for e in told)
        body = (text[:-2] if cut else text).encode()
        more = {"Content-Length": str(len(body) + 9), "Connection": "close"} if cut else {}
        return Answer(body, headers={"Content-Type": "text/event-stream", **more})

    gone = Answer(b"", 204)
    with (
        serving(job("running"), events(3, 4, cut=True), AWAY, events(4, 5), gone) as server,
        Client(server.url, retry=AT_ONCE) as opened,
    ):
        assert [event.id for event in opened.job("j").events()] == [3, 4, 5]
    assert [request.headers.get("Last-Event-ID") for request in server.asked[1:]] == [None, "3", "3", "5"]


def test_events_of_a_server_that_stays_away_end_with_that() -> None:
    with (
        serving(job("running"), AWAY, AWAY, AWAY) as server,
        Client(server.url, retry=Retry(attempts=3, base_s=0)) as c,
        pytest.raises(tree.Unavailable),
    ):
        list(c.job("j").events())
    assert len(server.asked) == 4


@pytest.mark.parametrize("name", ["Client", "Dataset", "Job", "Result"])
def test_the_awaited_client_has_the_methods_of_the_other(name: str) -> None:
    def public(kind: type) -> dict[str, str]:
        methods = {n: m for n, m in inspect.getmembers(kind, inspect.isfunction) if not n.startswith("__")}
        return {n: f"{inspect.signature(m)} {inspect.getdoc(m)}" for n, m in methods.items() if not n.startswith("_")}

    blocking, awaited = public(getattr(client, name)), public(getattr(client, f"Async{name}"))
    plain = {n: re.sub(r"Async(?=Client|Dataset|Job|Result|Iterator)", "", text) for n, text in awaited.items()}
    assert plain == blocking
    assert AsyncClient is client.AsyncClient
