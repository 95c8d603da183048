"""The queue's own statements: claim, heartbeat. Every write of an attempt is guarded by its lease.

All times are the database's. Nothing here is held open while work runs.
"""

import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from uuid import UUID

import asyncpg
import msgspec

from gristmill.db import limits
from gristmill.db.engine import Database, Driver
from gristmill.db.limits import Limit
from gristmill.domain.job import Claim, Progress
from gristmill.domain.sharing import Lane, Waiting, share
from gristmill.domain.source import sources

# From lane to lane by one probe of the claim's index each, however many jobs wait in them. A lane's first row is its
# oldest, so delayed jobs are seen here and never read by a claim. Lanes of a paused kind are skipped together: ''
# sorts before every owner.
SURVEY = """
WITH RECURSIVE lanes AS (
    SELECT $1::smallint AS priority, $2::text AS kind, $3::text AS owner, $4::text AS limit_key,
        NULL::timestamptz AS scheduled_at, 0 AS n
    UNION ALL
    SELECT next.priority, next.kind, next.owner, next.limit_key, next.scheduled_at, lanes.n + 1
    FROM lanes CROSS JOIN LATERAL (
        SELECT jobs.priority, jobs.kind, jobs.owner, jobs.limit_key, jobs.scheduled_at FROM jobs
        WHERE status = 'pending' AND NOT blocked AND (jobs.priority, jobs.kind, jobs.owner, jobs.limit_key)
            < (lanes.priority, lanes.kind, CASE WHEN lanes.kind = ANY ($6::text[]) THEN '' ELSE lanes.owner END,
                CASE WHEN lanes.kind = ANY ($6::text[]) THEN '' ELSE lanes.limit_key END)
        ORDER BY jobs.priority DESC, jobs.kind DESC, jobs.owner DESC, jobs.limit_key DESC, scheduled_at, id
        LIMIT 1
    ) AS next
    WHERE lanes.n < $5
)
SELECT priority, kind, owner, limit_key, extract(epoch FROM scheduled_at - now())::float8 AS due_s
FROM lanes WHERE n > 0
"""

# Due jobs of one lane, from its oldest on. ORDER BY names every column of the partial index, so that the lane is read
# in the index's order, never past finished or delayed rows.
_DUE = """
        SELECT id FROM jobs
        WHERE status = 'pending' AND NOT blocked AND priority = {priority} AND kind = {kind} AND owner = {owner}
            AND limit_key = {limit_key} AND scheduled_at <= now(){unless}
        ORDER BY priority DESC, kind DESC, owner DESC, limit_key DESC, scheduled_at, id
        LIMIT {most}
        FOR UPDATE SKIP LOCKED"""

# The picked rows are found by an array of ids, which is a fence: it is made once, so no plan claims more than LIMIT.
# As a join, the planner's guess of LIMIT's size made it read the whole table.
_CLAIM = """
WITH {picked}claimed AS (
    UPDATE jobs SET
        status = 'running', attempt = attempt + 1, lease = nextval('job_leases'), worker_id = $1,
        lease_expires_at = now() + make_interval(secs => $2), started_at = coalesce(started_at, now()),
        progress = NULL, updated_at = now()
    WHERE id = ANY (ARRAY ({ids}))
    RETURNING id, owner, kind, params::text AS params, attempt, max_attempts, lease, timeout_s, dataset_id,
        input_job_id, sources::text AS sources, traceparent,
        extract(epoch FROM now() - scheduled_at)::float8 AS waited_s, priority, limit_key, scheduled_at
), history AS (
    INSERT INTO job_events (job_id, owner, type, attempt, lease)
    SELECT id, owner, 'claimed', attempt, lease FROM claimed
)
SELECT * FROM claimed
"""

_PICKED = """picked AS MATERIALIZED (
    SELECT waiting.id
    FROM unnest($3::smallint[], $4::text[], $5::text[], $6::text[], $7::int[])
        AS lane (priority, kind, owner, limit_key, jobs)
    CROSS JOIN LATERAL ({due}
    ) AS waiting
), """
_EACH_LANE = {
    "priority": "lane.priority",
    "kind": "lane.kind",
    "owner": "lane.owner",
    "limit_key": "lane.limit_key",
    "most": "lane.jobs",
}
CLAIM = _CLAIM.format(picked=_PICKED.format(due=_DUE.format(**_EACH_LANE, unless="")), ids="SELECT id FROM picked")

_ONE_LANE = {"priority": "$3", "kind": "$4", "owner": "$5", "limit_key": "$6", "most": "$7"}
# One lane alone: what the arrays cost is as much as the claim of a job (1.26 ms against 0.79).
CLAIM_LANE = _CLAIM.format(picked="", ids=_DUE.format(**_ONE_LANE, unless=""))
# What was just enqueued, without a look at the limits before: it claims nothing when there are any. Under a snapshot
# that is held for long the index still has an entry for each job done since, and a claim from the oldest on would step
# over all of them (after a minute at 300 jobs/s, 5 ms of its 6); what is older is found by the next look at all lanes.
CLAIM_HINTED = _CLAIM.format(
    picked="",
    ids=_DUE.format(
        **_ONE_LANE,
        unless=" AND scheduled_at > now() - interval '5 s' AND NOT EXISTS (SELECT FROM queue_limits)",
    ),
)

HEARTBEAT = """
UPDATE jobs SET
    lease_expires_at = now() + make_interval(secs => $4),
    progress = coalesce(beat.progress, jobs.progress), updated_at = now()
FROM unnest($1::uuid[], $2::bigint[], $3::jsonb[]) AS beat (id, lease, progress)
WHERE jobs.id = beat.id AND jobs.status = 'running' AND jobs.lease = beat.lease
RETURNING jobs.lease, jobs.cancel_requested_at IS NOT NULL AS cancel_requested
"""

HELD = "SELECT id, lease FROM jobs WHERE status = 'running' AND worker_id = $1"

# Before every lane there is.
TOP = Lane(32767, "", "", "")
PAGE = 256
# Owners whose last turn is known; of those that had theirs earlier all are equal.
REMEMBERED = 1024
# Others are counting the same limited lanes: a claim takes some milliseconds.
CONTENDED_S = 0.03


@dataclass(frozen=True)
class Heartbeat:
    """One running attempt's sign of life, with its progress when that has changed."""

    job_id: UUID
    lease: int
    progress: Progress | None = None


class Claimer:
    """Claims for one worker, which takes turns over owners from claim to claim."""

    def __init__(self, database: Database, worker_id: UUID, *, lease_s: float) -> None:
        self._database = database
        self._worker_id = worker_id
        self._lease_s = lease_s
        self._turns: dict[str, int] = {}
        self._clock = count()
        self._after: Lane | None = None
        # Seconds until there may be more, as the last claim saw it; None: nothing is known to come.
        self.next_due_s: float | None = None
        # Whether the last claim found limits on how many may run or start.
        self.limited = False

    async def claim(self, limit: int) -> list[Claim]:
        """Claim up to `limit` due jobs: each gets a new lease and a history event, in one statement for all.

        Raises:
            DatabaseUnavailable: jobs may have been claimed and the answer lost.
        """
        self.next_due_s = None
        claimed: list[Claim] = []
        async with self._database.driver() as driver:
            known = await limits.limits(driver)
            self.limited = any(item.max_running is not None or item.rate is not None for item in known)
            if not any(item.paused for item in known if item.scope == "all"):
                async for lanes in self._pages(driver, known):
                    claimed += await self._claim_from(driver, lanes, known, limit - len(claimed))
                    if len(claimed) >= limit:
                        break
        return claimed

    async def claim_hinted(self, lane: Lane, limit: int) -> list[Claim]:
        """Claim from one lane that was just heard of, by an idle worker, in one round trip. Nothing if limits exist."""
        async with self._database.driver() as driver:
            records = await driver.fetch(CLAIM_HINTED, self._worker_id, self._lease_s, *lane, limit)
        self._note_turns([lane])
        return [_claim(record) for record in sorted(records, key=_place)]

    async def _pages(self, driver: Driver, known: Sequence[Limit]) -> AsyncIterator[list[Waiting]]:
        """Lanes from the top. Where there are more than a page of them, each claim also sees the page after the last
        one's, and more pages while it has free slots: so everybody's lane is seen in turn.
        """
        paused = [item.name for item in known if item.scope == "kind" and item.paused]
        lanes = page = await _survey(driver, TOP, paused)
        while len(page) == PAGE:
            page = await _survey(driver, self._after or page[-1].lane, paused)
            self._after = page[-1].lane if len(page) == PAGE else None
            yield list(dict.fromkeys(lanes + page))
            lanes = []
        if lanes:
            yield lanes

    async def _claim_from(
        self, driver: Driver, lanes: Sequence[Waiting], known: Sequence[Limit], limit: int
    ) -> list[Claim]:
        """Share the slots out, claim, and share again what some lanes could not use."""
        claimed: list[Claim] = []
        waiting = {item.lane: item for item in lanes}
        for item in lanes:
            self._expect(item.due_s)
        while waiting and len(claimed) < limit:
            if known:
                async with driver.transaction():
                    shares = await self._limited_shares(driver, list(waiting.values()), known, limit - len(claimed))
                    catch = await self._take(driver, shares)
                    await _note_rates(driver, catch.jobs, known)
            else:
                running = await _running_by_owner(driver, waiting)
                shares = share(waiting.values(), limit - len(claimed), running=running, room={}, turns=self._turns)
                catch = await self._take(driver, shares)
            claimed += catch.jobs
            if not shares:
                break
            for lane in catch.exhausted:
                del waiting[lane]
        return claimed

    async def _limited_shares(
        self, driver: Driver, waiting: Sequence[Waiting], known: Sequence[Limit], limit: int
    ) -> dict[Lane, int]:
        """Shares within the limits, which stay true until the transaction ends: their locks are ours."""
        closed = {item.key for item in known if item.paused}
        open_lanes = [item for item in waiting if closed.isdisjoint(item.lane.scopes)]
        limited = {item.key for item in known if item.max_running is not None or item.rate is not None}
        concerned = {scope for item in open_lanes if item.due_s <= 0 for scope in item.lane.scopes} & limited
        if concerned and not await limits.lock_limits(driver, concerned):
            self._expect(random.uniform(CONTENDED_S / 2, CONTENDED_S))
            open_lanes = [item for item in open_lanes if limited.isdisjoint(item.lane.scopes)]
        running = await limits.running_jobs(driver)
        room = {
            item.key: max(0, item.max_running - running.get(item.key, 0))
            for item in known
            if item.max_running is not None
        }
        await self._heed_rates(driver, room, known)
        owners = {name: jobs for (scope, name), jobs in running.items() if scope == "owner"}
        return share(open_lanes, limit, running=owners, room=room, turns=self._turns)

    async def _heed_rates(self, driver: Driver, room: dict[tuple[str, str], int], known: Sequence[Limit]) -> None:
        rates = {item.name: item.rate for item in known if item.rate is not None}
        if not rates:
            return
        for started in await limits.started_jobs(driver):
            left = max(0, rates.get(started.kind, 0) - started.jobs)
            room["kind", started.kind] = min(left, room.get(("kind", started.kind), left))
            if not left and started.eases_s is not None:
                self._expect(started.eases_s)

    async def _take(self, driver: Driver, shares: Mapping[Lane, int]) -> "Catch":
        if not shares:
            return Catch([], frozenset())
        wanted = [(*lane, jobs) for lane, jobs in shares.items()]
        if len(wanted) == 1:
            records = await driver.fetch(CLAIM_LANE, self._worker_id, self._lease_s, *wanted[0])
        else:
            columns = [list(column) for column in zip(*wanted, strict=True)]
            records = await driver.fetch(CLAIM, self._worker_id, self._lease_s, *columns)
        self._note_turns(shares)
        # An UPDATE answers in no order.
        records.sort(key=_place)
        jobs = [_claim(record) for record in records]
        if len(jobs) == sum(shares.values()):
            return Catch(jobs, frozenset())
        got = Counter(
            Lane(record["priority"], record["kind"], record["owner"], record["limit_key"]) for record in records
        )
        return Catch(jobs, frozenset(lane for lane, wanted in shares.items() if got[lane] < wanted))

    def _note_turns(self, lanes: Iterable[Lane]) -> None:
        turn = next(self._clock)
        for lane in lanes:
            self._turns.pop(lane.owner, None)
            self._turns[lane.owner] = turn
        while len(self._turns) > REMEMBERED:
            del self._turns[next(iter(self._turns))]

    def _expect(self, due_s: float) -> None:
        if due_s > 0 and (self.next_due_s is None or due_s < self.next_due_s):
            self.next_due_s = due_s


@dataclass(frozen=True)
class Catch:
    """What one statement claimed, and the lanes that had less than was asked of them."""

    jobs: list[Claim]
    exhausted: frozenset[Lane]


async def claim_jobs(database: Database, *, worker_id: UUID, limit: int, lease_s: float) -> list[Claim]:
    """One claim by a worker that remembers nothing."""
    return await Claimer(database, worker_id, lease_s=lease_s).claim(limit)


async def send_heartbeats(database: Database, beats: Sequence[Heartbeat], *, lease_s: float) -> dict[int, bool]:
    """Renew the leases of all of a worker's attempts in one statement.

    Answers lease → whether a cancel was asked for. A lease that is missing is lost: drop the work, write nothing.
    """
    async with database.driver() as driver:
        records = await driver.fetch(
            HEARTBEAT,
            [beat.job_id for beat in beats],
            [beat.lease for beat in beats],
            [None if beat.progress is None else msgspec.json.encode(beat.progress).decode() for beat in beats],
            lease_s,
        )
    return {record["lease"]: record["cancel_requested"] for record in records}


async def held_jobs(database: Database, worker_id: UUID) -> dict[int, UUID]:
    """Lease → job of everything a worker holds by the database's account, a claim whose answer was lost included."""
    async with database.driver() as driver:
        return {record["lease"]: record["id"] for record in await driver.fetch(HELD, worker_id)}


async def _survey(driver: Driver, after: Lane, paused: Sequence[str]) -> list[Waiting]:
    records = await driver.fetch(SURVEY, *after, PAGE, paused)
    return [Waiting(Lane(*record[:4]), record["due_s"]) for record in records]


async def _running_by_owner(driver: Driver, lanes: Iterable[Lane]) -> dict[str, int]:
    """How many jobs of each owner run; asked only when there is something to share."""
    if len({lane.owner for lane in lanes}) < 2:
        return {}
    running = await limits.running_jobs(driver)
    return {name: jobs for (scope, name), jobs in running.items() if scope == "owner"}


async def _note_rates(driver: Driver, claimed: Iterable[Claim], known: Iterable[Limit]) -> None:
    rated = {item.name for item in known if item.rate is not None}
    counts = Counter(claim.kind for claim in claimed if claim.kind in rated)
    if counts:
        await limits.note_started(driver, list(counts.items()))


def _place(record: asyncpg.Record) -> tuple[int, datetime, UUID]:
    return -record["priority"], record["scheduled_at"], record["id"]


def _claim(record: asyncpg.Record) -> Claim:
    (
        identity,
        owner,
        kind,
        params,
        attempt,
        most,
        lease,
        timeout_s,
        dataset_id,
        input_job_id,
        named,
        trace,
        waited_s,
        *_,
    ) = record
    return Claim(
        identity,
        owner,
        kind,
        msgspec.Raw(params.encode()),
        attempt,
        most,
        lease,
        timeout_s,
        dataset_id,
        input_job_id,
        sources(named),
        trace,
        waited_s,
    )
