"""A server that gives the answers it is told, for what a real one does seldom."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

JOB = {"id": "j", "kind": "metrics", "dataset_id": "d", "created_at": "2026-01-02T03:04:05Z"}
DATASET = {"id": "d", "name": "x", "status": "validating", "format": "csv", "size_bytes": 1}


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


def problem(code: str, status: int, **more: Any) -> Answer:
    body = {"type": f"urn:gristmill:problem:{code}", "title": code, "status": status, **more}
    return Answer(json.dumps(body).encode(), status, {"Content-Type": "application/problem+json"})
