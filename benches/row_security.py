"""What the second fence costs where requests are most: `GET /jobs/{id}`, `POST /jobs`, a page of a list, and the look
for a key.

    make bench ARGS="row_security"
    python benches/row_security.py --rounds 9 --calls 400

Each way is the product's own: the same functions on connections that log in as who owns the tables (no fence), or act
as the API. There a connection keeps its owner, so it costs a statement where another owner comes and nothing where the
same does; behind a proxy that pools transactions each use is one. Rounds of the ways take turns; absolute times say
little on a shared machine. The look for a key is a function that may read keys, against the statement in it.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from gristmill import embedded
from gristmill.db.engine import Database
from gristmill.db.enqueue import enqueue_job
from gristmill.db.jobs import get_job, list_jobs
from gristmill.db.keys import add_key, find_key
from gristmill.db.migrations import upgrade
from gristmill.db.rows import NewJob
from gristmill.domain.key import Scope, make_key
from gristmill.domain.role import Role
from gristmill.settings import Settings, load_settings

OWNERS = tuple(f"owner-{n}" for n in range(20))
SEEDED = 2_000
SEED = """
WITH made AS (
    INSERT INTO datasets (owner, name, format, original_key, media_type, size_bytes, sha256)
    VALUES ($1, 'bench', 'csv', '', '', 1, repeat('0', 64)) RETURNING id
)
INSERT INTO jobs (owner, kind, kind_version, dataset_id, params, blocked, waits_for)
SELECT $1, 'metrics', 1, made.id, '{}', true, made.id FROM made, generate_series(1, $2::int) RETURNING id, dataset_id
"""
KEY = """
SELECT id, owner, secret_sha256, scopes, expires_at FROM api_keys
WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""

Work = Callable[[Database, int], Awaitable[object]]


@dataclass(frozen=True)
class Way:
    """How the database is spoken to. `owners`: how many take turns on one connection."""

    fenced: bool
    owners: int
    proxied: bool = False


WAYS = {
    "no fence": Way(fenced=False, owners=1),
    "the same owner": Way(fenced=True, owners=1),
    "owners take turns": Way(fenced=True, owners=len(OWNERS)),
    "no fence, proxy": Way(fenced=False, owners=1, proxied=True),
    "any owner, proxy": Way(fenced=True, owners=len(OWNERS), proxied=True),
}


async def timed(database: Database, work: Work, calls: int) -> float:
    """Seconds of a call, so that a tenth of the calls took less: what the machine does besides is in the others."""
    taken = []
    for turn in range(-10, calls):
        begun = time.perf_counter()
        await work(database, turn)
        if turn >= 0:
            taken.append(time.perf_counter() - begun)
    return statistics.quantiles(taken, n=10)[0]


async def seeded(database: Database) -> dict[str, list[tuple[UUID, UUID]]]:
    """Jobs of each owner, with their datasets."""
    async with database.driver(deadline_s=120) as driver:
        made = {owner: await driver.fetch(SEED, owner, SEEDED) for owner in OWNERS}
        await driver.execute("ANALYZE")
    return {owner: [(row["id"], row["dataset_id"]) for row in rows] for owner, rows in made.items()}


def new_job(owner: str, dataset_id: UUID) -> NewJob:
    return NewJob(
        owner=owner, dataset_id=dataset_id, kind="metrics", kind_version=1, params=b"{}", max_attempts=5, timeout_s=3600
    )


async def measure(settings: Settings, *, rounds: int, calls: int) -> None:
    await upgrade(settings)
    async with AsyncExitStack() as opened:
        databases = {
            name: await opened.enter_async_context(
                Database.open(
                    settings.model_copy(update={"listen_notify": not way.proxied, "postgres_pool_size": 1}),
                    role=Role.API if way.fenced else None,
                )
            )
            for name, way in WAYS.items()
        }
        jobs = await seeded(databases["no fence"])
        _, key = make_key(OWNERS[0], (Scope.READ,))
        await add_key(databases["no fence"], key)

        async def get(database: Database, turn: int, owner: str) -> None:
            job_id, _ = jobs[owner][turn * 7919 % SEEDED]
            assert await get_job(database.of(owner), job_id, owner=owner)

        async def page(database: Database, turn: int, owner: str) -> None:
            last, _ = jobs[owner][turn * 7919 % SEEDED]
            await list_jobs(database.of(owner), owner=owner, limit=50, before=last)

        async def enqueue(database: Database, turn: int, owner: str) -> None:
            assert await enqueue_job(database.of(owner), new_job(owner, jobs[owner][0][1]))

        async def stated(database: Database, _: int) -> None:
            async with database.driver() as driver:
                assert await driver.fetchrow(KEY, key.id)

        async def asked(database: Database, _: int) -> None:
            assert await find_key(database, key.id)

        for name, call in (("GET", get), ("page", page), ("enqueue", enqueue)):
            ways = {
                way: (databases[way], lambda database, turn, call=call, way=way: call(database, turn, of(way, turn)))
                for way in WAYS
            }
            report(name, await compared(ways, rounds=rounds, calls=calls))
        looks = {"statement": (databases["no fence"], stated), "function": (databases["the same owner"], asked)}
        report("key", await compared(looks, rounds=rounds, calls=calls))


def of(way: str, turn: int) -> str:
    return OWNERS[turn % WAYS[way].owners]


async def compared(ways: Mapping[str, tuple[Database, Work]], *, rounds: int, calls: int) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (database, work) in ways.items():
            found[name].append(await timed(database, work, calls))
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def report(name: str, found: dict[str, float]) -> None:
    """Each way as a multiple of the one without a fence that speaks in the same manner."""
    bases = [way for way in found if way.startswith(("no fence", "statement"))]
    for way, seconds in found.items():
        base = found[bases[-1] if way.endswith("proxy") else bases[0]]
        print(f"{name:8} {way:20} {seconds * 1e6:8.0f} us  {seconds / base:5.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=400)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, embedded.hold(Path(folder)) as endpoints:
        settings = load_settings(endpoints.environment(), env_file=None)
        asyncio.run(measure(settings, rounds=given.rounds, calls=given.calls))


if __name__ == "__main__":
    main()
