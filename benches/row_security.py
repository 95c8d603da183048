"""What row-level security would cost where requests are most: `GET /jobs/{id}`, and the statement of `POST /jobs`.

    make bench ARGS="row_security"
    python benches/row_security.py --rounds 5 --calls 400

The policy is `owner = current_setting('gristmill.owner', true)` on datasets, jobs and job_events, forced on their
owner. The setting reaches the connection in three ways: it is there already (the last request on it was the same
owner's), by a statement of its own before each (other owners take turns), or by SET LOCAL in a transaction (behind a
proxy that pools transactions). Rounds of the four ways take turns; absolute times say little on a shared machine.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

from gristmill import embedded
from gristmill.db.engine import Database, Driver
from gristmill.db.enqueue import insert_jobs
from gristmill.db.jobs import GET
from gristmill.db.migrations import upgrade
from gristmill.db.rows import NewJob
from gristmill.settings import Settings, load_settings

OWNER = "ann"
TABLES = ("datasets", "jobs", "job_events")
SEEDED = 20_000
BIND = "SELECT set_config('gristmill.owner', $1, false)"
BIND_LOCAL = "SELECT set_config('gristmill.owner', $1, true)"
SEED = """
WITH made AS (
    INSERT INTO datasets (owner, name, format, original_key, media_type, size_bytes, sha256)
    VALUES ($1, 'bench', 'csv', '', '', 1, repeat('0', 64)) RETURNING id
)
INSERT INTO jobs (owner, kind, kind_version, dataset_id, params, blocked, waits_for)
SELECT $1, 'metrics', 1, made.id, '{}', true, made.id FROM made, generate_series(1, $2::int) RETURNING id, dataset_id
"""

Work = Callable[[Driver], Awaitable[object]]


async def secured(driver: Driver, *, on: bool) -> None:
    for table in TABLES:
        await driver.execute(f"DROP POLICY IF EXISTS fence ON {table}")
        await driver.execute(f"ALTER TABLE {table} {'ENABLE' if on else 'DISABLE'} ROW LEVEL SECURITY")
        await driver.execute(f"ALTER TABLE {table} {'FORCE' if on else 'NO FORCE'} ROW LEVEL SECURITY")
        if on:
            await driver.execute(
                f"CREATE POLICY fence ON {table} USING (owner = current_setting('gristmill.owner', true))"
            )


async def plainly(driver: Driver, work: Work) -> None:
    await work(driver)


async def bound_each_time(driver: Driver, work: Work) -> None:
    await driver.execute(BIND, OWNER)
    await work(driver)


async def bound_in_transaction(driver: Driver, work: Work) -> None:
    async with driver.transaction():
        await driver.execute(BIND_LOCAL, OWNER)
        await work(driver)


WAYS = {
    "without": (False, plainly),
    "same owner as before": (True, plainly),
    "bound by a statement": (True, bound_each_time),
    "bound in a transaction": (True, bound_in_transaction),
}


async def timed(database: Database, way: str, work: Work, calls: int) -> float:
    """Median seconds of a call."""
    on, bind = WAYS[way]
    async with database.driver(deadline_s=300) as driver:
        await secured(driver, on=on)
        await driver.execute(BIND, OWNER)
        taken = []
        for _ in range(calls):
            begun = time.perf_counter()
            await bind(driver, work)
            taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


async def measure(settings: Settings, *, rounds: int, calls: int) -> None:
    await upgrade(settings)
    async with Database.open(settings) as database:
        async with database.driver(deadline_s=120) as driver:
            rows = await driver.fetch(SEED, OWNER, SEEDED)
            await driver.execute("ANALYZE")
        ids: list[UUID] = [row["id"] for row in rows]
        job = NewJob(
            owner=OWNER, dataset_id=rows[0]["dataset_id"], kind="metrics", kind_version=1, params=b"{}", max_attempts=5,
            timeout_s=3600,
        )  # fmt: skip
        turn = iter(range(1 << 40))

        async def get(driver: Driver) -> None:
            assert await driver.fetchrow(GET, ids[next(turn) * 7919 % len(ids)], OWNER)

        async def enqueue(driver: Driver) -> None:
            assert (await insert_jobs(driver, [job]))[0]

        for name, work in (("GET", get), ("enqueue", enqueue)):
            found: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(rounds):
                for way in WAYS:
                    found[way].append(await timed(database, way, work, calls))
            base = statistics.median(found["without"])
            for way, seconds in found.items():
                middle = statistics.median(seconds)
                print(f"{name:8} {way:24} {middle * 1e6:8.0f} us  {middle / base:5.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=400)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, embedded.hold(Path(folder)) as endpoints:
        settings = load_settings(endpoints.environment(), env_file=None)
        asyncio.run(measure(settings, rounds=given.rounds, calls=given.calls))


if __name__ == "__main__":
    main()
