"""Records outcomes, in batches: while one statement is under way, the next batch gathers."""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import NamedTuple
from uuid import UUID, uuid4

from gristmill import metrics
from gristmill.db.engine import Database
from gristmill.db.outcomes import Ending, ended_attempts, record_outcomes
from gristmill.domain.job import JobStatus
from gristmill.domain.left import Paces
from gristmill.domain.outcome import Completed, Failed, Interrupted, Outcome, Retry, outcome_name
from gristmill.errors import InternalError, Unavailable
from gristmill.telemetry import get_logger
from gristmill.tracing import trace_fields
from gristmill.worker.attempt import Attempt, Attempts
from gristmill.worker.cleaner import Cleaner
from gristmill.worker.tasks import Backoff

log = get_logger(__name__)

BATCH = 1000
WAITING = 2000


class Decision(NamedTuple):
    """What became of an attempt, as its executor saw it. The database may see it otherwise."""

    attempt: Attempt
    outcome: Outcome
    stand_in: bool = False


class Completer:
    """`on_retry` is called when a job is to be tried again: the producer does not know yet when it is due."""

    def __init__(
        self,
        database: Database,
        worker_id: UUID,
        attempts: Attempts,
        cleaner: Cleaner,
        *,
        on_retry: Callable[[], None],
        paces: Paces | None = None,
    ) -> None:
        self._database = database
        self._attempts = attempts
        self._cleaner = cleaner
        self._on_retry = on_retry
        self._paces = paces
        # No asyncio.Queue: it takes 4 us a job, and one wake-up is enough for a batch.
        self._waiting: deque[Decision] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._backoff = Backoff("completer", worker_id)
        # Set whenever outcomes have been recorded, so that there is room again.
        self.recorded = asyncio.Event()

    async def submit(self, attempt: Attempt, outcome: Outcome) -> None:
        """Have an outcome recorded; waits while too many are waiting already."""
        while not self.room:
            self._room.clear()
            await self._room.wait()
        self.submit_at_once(attempt, outcome)

    @property
    def room(self) -> int:
        """How many outcomes may be given to `submit_at_once` now."""
        return WAITING - len(self._waiting)

    def submit_at_once(self, attempt: Attempt, outcome: Outcome) -> None:
        """The same for one who has seen that there is `room`."""
        self._waiting.append(Decision(attempt, outcome))
        self._arrived.set()
        attempt.decided = True
        if attempt.trace is not None:
            attempt.trace.decided()

    def drop(self, attempt: Attempt) -> None:
        """Forget an attempt whose lease is lost: nothing is recorded, its objects go."""
        attempt.decided = True
        log.warning("job.lease_lost", job_id=str(attempt.job.id), lease=attempt.job.lease)
        metrics.LEASES_LOST.labels(metrics.KINDS.label(attempt.job.kind)).inc()
        if attempt.trace is not None:
            attempt.trace.end("lease_lost", error="lease_lost")
        self._cleaner.remove(attempt.job)
        self._attempts.remove(attempt)

    async def run(self) -> None:
        while True:
            if not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            self._room.set()
            await self._record(batch)
            self.recorded.set()

    async def _record(self, batch: list[Decision]) -> None:
        began = time.perf_counter()
        while True:
            try:
                await self._record_once(batch)
            except Unavailable as error:
                await self._backoff.wait(error)
            except InternalError as error:
                await self._record_apart(batch, error)
                return
            else:
                self._backoff.reset()
                metrics.COMMIT_SECONDS.observe(time.perf_counter() - began)
                return

    async def _record_once(self, batch: list[Decision]) -> None:
        statuses = await record_outcomes(
            self._database, [Ending(attempt.job.id, attempt.job.lease, outcome) for attempt, outcome, _ in batch]
        )
        missing = [
            (decision.attempt.job.id, decision.attempt.job.lease)
            for decision in batch
            if decision.attempt.job.lease not in statuses
        ]
        # Refused, or recorded by a transaction whose answer never came. Both are settled by now: recording waited for
        # the row, and the lease is not the row's any more.
        ended = await ended_attempts(self._database, missing) if missing else {}
        concluded = []
        telling = log.is_enabled_for(logging.INFO)
        for decision in batch:
            lease = decision.attempt.job.lease
            name = self._conclude(decision, status=statuses.get(lease), recorded=ended.get(lease))
            if name is not None:
                concluded.append((decision, name))
                if telling:
                    _tell(decision, name)
        _count(concluded)

    async def _record_apart(self, batch: list[Decision], error: InternalError) -> None:
        """One outcome can't be stored: find it, and fail its job instead, so that the others are not held up."""
        if len(batch) > 1:
            for decision in batch:
                await self._record([decision])
            return
        if batch[0].stand_in:
            raise error
        problem_id = uuid4()
        log.error("job.unstorable", job_id=str(batch[0].attempt.job.id), problem_id=str(problem_id), error=error.detail)
        failed = Failed(InternalError(f"The outcome could not be stored (id {problem_id})").problem())
        await self._record([Decision(batch[0].attempt, failed, stand_in=True)])

    def _conclude(self, decision: Decision, *, status: JobStatus | None, recorded: str | None) -> str | None:
        """Let the attempt go. Answers its outcome as the database has it; None: the lease was lost."""
        attempt, job = decision.attempt, decision.attempt.job
        name = outcome_name(decision.outcome)
        if status is None and recorded != name:
            self.drop(attempt)
            return None
        if status is JobStatus.CANCELED:
            name = "canceled"
        if name != "completed" and _may_have_written(decision):
            self._cleaner.remove(job)
        if name == "completed" and self._paces is not None:
            attempt.note_pace(self._paces)
        if name in {"retry", "snoozed"}:
            self._on_retry()
        if attempt.trace is not None:
            attempt.trace.end(name, error=_code(decision.outcome))
        self._attempts.remove(attempt)
        return name


def _tell(decision: Decision, name: str) -> None:
    job = decision.attempt.job
    log.info(
        "job.outcome",
        job_id=str(job.id),
        kind=job.kind,
        attempt=job.attempt,
        lease=job.lease,
        outcome=name,
        code=_code(decision.outcome),
        seconds=decision.attempt.seconds,
        **trace_fields(job.traceparent),
    )


def _code(outcome: Outcome) -> str | None:
    return outcome.problem.code if isinstance(outcome, Failed | Retry) else None


def _count(concluded: Iterable[tuple[Decision, str]]) -> None:
    """Note a batch of outcomes: totals are added up first, as a job has 25 us for everything."""
    outcomes: Counter[tuple[str, str]] = Counter()
    rows: Counter[tuple[str, str]] = Counter()
    for decision, name in concluded:
        kind = decision.attempt.job.kind
        outcomes[kind, name] += 1
        match decision.outcome:
            # Without a guard: a struct is asked slowly whether it is of another class.
            case Completed(manifest=manifest):
                if manifest.files and name == "completed":
                    rows[kind, "read"] += manifest.rows_in
                    rows[kind, "written"] += manifest.rows_out
                    rows[kind, "dropped"] += manifest.rows_dropped
                    rows[kind, "bytes"] += sum(file.size_bytes for file in manifest.files)
            case Failed(problem=problem) | Retry(problem=problem):
                metrics.FAILURES.labels(metrics.KINDS.label(kind), problem.code).inc()
    for (kind, name), number in outcomes.items():
        metrics.OUTCOMES.labels(metrics.KINDS.label(kind), name).inc(number)
    for (kind, name), number in rows.items():
        if name == "bytes":
            metrics.RESULT_BYTES.labels(metrics.KINDS.label(kind)).inc(number)
        else:
            metrics.ROWS.labels(metrics.KINDS.label(kind), name).inc(number)


def _may_have_written(decision: Decision) -> bool:
    return decision.attempt.began or not isinstance(decision.outcome, Interrupted)
