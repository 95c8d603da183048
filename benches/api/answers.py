"""How fast the API answers: one job, a new job, and pages of the list, each beside a bare handler or its own page 1."""

import argparse
import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benches.api.load import Load, Requests, Sender
from benches.api.servers import OWNER, Running, Services
from benches.measuring import Found, Wanted, median, spread
from gristmill.db.engine import Database
from gristmill.db.keys import add_key
from gristmill.domain.key import Scope, make_key

JOBS = 1000
PAGE, FAR = 50, 1000
HEAD = (
    "| request | who | requests/s | p50 ms | p99 ms | its CPU, us/request | of the other's | from–to |\n"
    "|---|---|---:|---:|---:|---:|---:|---|"
)
OURS, BARE = "gristmill", "bare"


@dataclass(frozen=True)
class Side:
    """Whom what is sent to. `before`: what has to be done before each turn, and is not measured."""

    name: str
    server: Running
    sender: Sender
    before: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Turn:
    load: Load
    cpu_us: float


def measure_reads(folder: Path, options: argparse.Namespace) -> Found:
    """`GET /jobs/{id}` of a thousand jobs in turn; first as it is on loopback without keys, then with a key."""
    with Services.open(folder / "services") as services, services.api() as ours, services.bare() as bare:
        services.make_dataset(ours)
        paths = [f"/jobs/{job_id}" for job_id in services.make_jobs(JOBS)]
        check_same_body(ours, bare, paths[0], paths[0], {})
        both = Sender(Requests(paths=paths), folder)
        open_ = rounds("GET /jobs/{id}", [Side(OURS, ours, both), Side(BARE, bare, both)], options)
        token = asyncio.run(make_token(services))
        authorization = f"Bearer {token}"
        keyed_paths = [f"/keyed{path}" for path in paths]
        check_same_body(ours, bare, paths[0], keyed_paths[0], {"Authorization": authorization})
        own = Sender(Requests(paths=paths, authorization=authorization), subfolder(folder, OURS))
        other = Sender(Requests(paths=keyed_paths, authorization=authorization), subfolder(folder, BARE))
        keyed = rounds("GET /jobs/{id}, with a key", [Side(OURS, ours, own), Side(BARE, bare, other)], options)
    return Found(
        table([*open_, *keyed]),
        [
            Wanted("GET /jobs/{id}, requests/s of a bare handler's", ratio(open_), "at least 0.8"),
            Wanted("the same with a key that both look up", ratio(keyed), ""),
        ],
        [*open_, *keyed],
    )


def measure_submits(folder: Path, options: argparse.Namespace) -> Found:
    """`POST /jobs`, each with params of its own, so that none is told from a twin's result."""
    with Services.open(folder / "services") as services, services.api() as ours, services.bare() as bare:
        services.make_dataset(ours)
        body = {"kind": "normalize", "dataset_id": str(services.dataset_id), "params": {"steps": [{"op": "clip"}]}}
        text = json.dumps(body).replace('"clip"', '"clip", "high": @')

        def emptied() -> None:
            services.sql("TRUNCATE jobs, job_events")

        both = Sender(Requests(paths=["/jobs"], method="POST", body=text), folder)
        sides = [Side(OURS, ours, both, emptied), Side(BARE, bare, both, emptied)]
        found = rounds("POST /jobs", sides, options)
    wanted = Wanted("POST /jobs, requests/s of a bare handler's with the same rows", ratio(found), "at least 0.7")
    return Found(table(found), [wanted], found)


def measure_lists(folder: Path, options: argparse.Namespace) -> Found:
    """A page of 50 jobs: the first, and the thousandth."""
    with Services.open(folder / "services") as services, services.api() as ours:
        services.make_dataset(ours)
        services.make_jobs(PAGE * (FAR + 1))
        first, far = f"/jobs?limit={PAGE}", f"/jobs?limit={PAGE}&cursor={cursor_of(ours, PAGE * (FAR - 1))}"
        sides = [
            Side(f"page {FAR}", ours, Sender(Requests(paths=[far]), subfolder(folder, "far"))),
            Side("page 1", ours, Sender(Requests(paths=[first]), subfolder(folder, "first"))),
        ]
        found = rounds("GET /jobs", sides, options)
    wanted = Wanted(f"GET /jobs, page {FAR}, requests/s of page 1's", ratio(found), "1: as fast")
    return Found(table(found), [wanted], found)


def rounds(request: str, sides: Sequence[Side], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Each side in turn, another one first in each round. What is first of `sides` is compared with the other."""
    for side in sides:  # not measured: connections are made, statements prepared, code warmed
        side.before()
        side.sender.send(side.server.url, seconds=1)
    figures: list[dict[str, Any]] = []
    for round_ in range(options.rounds):
        turns: dict[str, Turn] = {}
        for side in [*sides[round_ % 2 :], *sides[: round_ % 2]]:
            side.before()
            begun = side.server.cpu_s()
            load = side.sender.send(side.server.url, seconds=options.seconds)
            turns[side.name] = Turn(load, (side.server.cpu_s() - begun) / load.requests * 1e6)
        own, other = (turns[side.name] for side in sides)
        lines = [{"request": request, "who": side.name, "round": round_, **told(turns[side.name])} for side in sides]
        lines[0]["ratio"] = own.load.per_s / other.load.per_s
        figures += lines
        print(f"  {request}, round {round_ + 1}: {lines[0]['ratio']:.2f}", flush=True)
    return figures


def told(turn: Turn) -> dict[str, float]:
    load = turn.load
    return {"per_s": load.per_s, "p50_ms": load.p50_ms, "p99_ms": load.p99_ms, "cpu_us": turn.cpu_us}


def ratio(figures: Sequence[Mapping[str, Any]]) -> float:
    """The median over the rounds: the two of a round share what the machine was busy with."""
    return median(ratios(figures))


def ratios(figures: Sequence[Mapping[str, Any]]) -> list[float]:
    return [line["ratio"] for line in figures if "ratio" in line]


def table(figures: Sequence[Mapping[str, Any]]) -> str:
    rows = [HEAD]
    for request in dict.fromkeys(line["request"] for line in figures):
        lines = [line for line in figures if line["request"] == request]
        found = ratios(lines)
        for place, who in enumerate(dict.fromkeys(line["who"] for line in lines)):
            of = {
                name: median([line[name] for line in lines if line["who"] == who])
                for name in ("per_s", "p50_ms", "p99_ms", "cpu_us")
            }
            compared = f"{median(found):.2f} | {spread(found)}" if place == 0 else " | "
            rows.append(
                f"| {request} | {who} | {of['per_s']:,.0f} | {of['p50_ms']:.2f} | {of['p99_ms']:.2f} "
                f"| {of['cpu_us']:.0f} | {compared} |"
            )
    return "\n".join(rows)


def check_same_body(ours: Running, bare: Running, path: str, other: str, headers: dict[str, str]) -> None:
    with httpx.Client(headers=headers) as client:
        own, theirs = client.get(ours.url + path), client.get(bare.url + other)
    assert (own.status_code, theirs.status_code) == (200, 200), (own.text, theirs.text)
    assert own.content == theirs.content, (own.content, theirs.content)


def cursor_of(api: Running, jobs: int) -> str:
    """The cursor of the page that begins after so many jobs."""
    cursor = ""
    with httpx.Client(base_url=api.url, timeout=30) as client:
        while jobs:
            limit = min(500, jobs)
            query = {"limit": str(limit), **({"cursor": cursor} if cursor else {})}
            cursor = client.get("/jobs", params=query).raise_for_status().json()["next"]
            jobs -= limit
    return cursor


async def make_token(services: Services) -> str:
    token, key = make_key(OWNER, tuple(Scope))
    async with Database.open(services.settings) as database:
        await add_key(database, key)
    return token


def subfolder(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name
