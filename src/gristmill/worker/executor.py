"""One executor: a child process kept warm over jobs, and the way of each job through it.

take ─▶ compute (child) ─▶ judge ─▶ hand over ─▶ take …
"""

import asyncio
import random
import signal
import time
from dataclasses import dataclass
from typing import assert_never

import msgspec

from gristmill import metrics
from gristmill.domain.job import INGEST_KIND
from gristmill.domain.outcome import Canceled, Outcome, Snoozed
from gristmill.domain.retry import after_failure, backoff_s
from gristmill.errors import (
    ExecutorCrashed,
    ExecutorLost,
    GristmillError,
    MemoryLimit,
    OutOfMemory,
    Problem,
    ProcessFailed,
    Stalled,
    TimedOut,
)
from gristmill.settings import Settings
from gristmill.telemetry import get_logger
from gristmill.worker.attempt import Attempt, StopReason
from gristmill.worker.completer import Completer
from gristmill.worker.process import ChildProcess
from gristmill.worker.protocol import Advanced, Broken, Done, Later, Noted, Ready, Run
from gristmill.worker.scratch import Scratch
from gristmill.worker.slots import ExecutorSlots
from gristmill.worker.tasks import jittered
from gristmill.worker.watch import Watch

log = get_logger(__name__)

READY_S = 60.0
# Twice what Polars' allocator waits (worker/process.py). A new executor takes longer: it has Polars to load.
GIVEN_BACK_S = 1.0
# What code does to itself. Nobody sends them; a kill is SIGKILL or SIGTERM.
CRASHES = frozenset(
    {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS}
)
MOST_FALSE_STARTS = 5


@dataclass(frozen=True)
class Stopped:
    """We killed the child."""

    reason: StopReason


@dataclass(frozen=True)
class Died:
    """The child died by itself, or by another's hand. `code` is its exit status, -9 for SIGKILL.

    `out_of_memory`: it was the kernel's, which has to end somebody when there is no memory left.
    """

    code: int | None
    out_of_memory: bool = False


Answer = Done | Broken | Later | Stopped | Died


class Executor:
    def __init__(
        self, settings: Settings, slots: ExecutorSlots, completer: Completer, scratch: Scratch, watch: Watch
    ) -> None:
        self._settings = settings
        self._slots = slots
        self._completer = completer
        self._scratch = scratch
        self._watch = watch
        self._rng = random.Random()

    async def run(self) -> None:
        """Run jobs for ever, in one child after the other.

        Raises:
            ProcessFailed: children can't be started.
        """
        while True:
            child = await self._started()
            try:
                await self._use(child)
            finally:
                await self._end(child)

    async def _started(self) -> ChildProcess:
        for false_starts in range(MOST_FALSE_STARTS):
            child = await ChildProcess.start(self._settings, await self._scratch.temporary())
            ready = False
            try:
                async with asyncio.timeout(READY_S):
                    ready = isinstance(await child.receive(), Ready)
            except TimeoutError:
                log.warning("executor.killed", pid=child.pid, job_id=None, reason="not_ready")
                metrics.KILLED.labels("not_ready").inc()
            finally:
                if not ready:
                    await self._end(child)
            if ready:
                log.info("executor.started", pid=child.pid)
                metrics.STARTED.inc()
                return child
            await asyncio.sleep(jittered(2.0**false_starts))
        raise ProcessFailed(f"{MOST_FALSE_STARTS} executors in a row died before they were ready")

    async def _end(self, child: ChildProcess) -> None:
        await child.kill()
        await self._scratch.remove(child.temporary)

    async def _use(self, child: ChildProcess) -> None:
        """Give the child job after job, until it is dead, or so full that the next one would not have its budget."""
        while not child.exited.done():
            attempt = await self._next(child)
            if attempt is None:
                return
            answer = await self._compute(attempt, child)
            outcome = self._judge(attempt, answer)
            await self._hand_over(attempt, outcome)
            if not child.exited.done() and (held := await self._kept_too_much(child, attempt)) is not None:
                log.info("executor.recycled", pid=child.pid, bytes=held)
                return

    async def _kept_too_much(self, child: ChildProcess, attempt: Attempt) -> int | None:
        """Bytes that it holds and ought to have given back. What was freed last goes back a moment after it was."""
        if self._watch.kept_too_much(child.pid, attempt) is None:
            return None
        await asyncio.wait({child.exited}, timeout=GIVEN_BACK_S)
        return self._watch.kept_too_much(child.pid, attempt)

    async def _next(self, child: ChildProcess) -> Attempt | None:
        if not child.exited.done() and (ready := self._slots.take_ready()) is not None:
            return ready
        taking = asyncio.create_task(self._slots.take(), name="take")
        try:
            await asyncio.wait({taking, child.exited}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not taking.done():
                taking.cancel()
        if not taking.done():
            return None
        attempt = taking.result()
        if child.exited.done():
            self._slots.put_back(attempt)
            return None
        return attempt

    async def _compute(self, attempt: Attempt, child: ChildProcess) -> Answer:
        """Let the child do it, until it answers or dies, the time is over, or the attempt is asked to stop.

        When this returns, nothing runs for the attempt any more.
        """
        if attempt.stop_reason is not None:
            self._slots.release(attempt)
            return Stopped(attempt.stop_reason)
        folder = self._scratch.place(attempt.job.lease)
        began_ns = time.time_ns()
        attempt.begin()
        self._watch.add(child.pid, attempt)
        answering = asyncio.create_task(self._answer(attempt, child, str(folder)), name=f"compute-{attempt.job.lease}")
        stopping = asyncio.create_task(attempt.stop_asked.wait(), name=f"stop-{attempt.job.lease}")
        answer: Answer | None = None
        try:
            await asyncio.wait(
                {answering, stopping}, timeout=attempt.job.timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if answering.done():
                answer = answering.result() or await self._died(child)
            else:
                answer = await self._stop(attempt, child)
            return answer
        finally:
            answering.cancel()
            stopping.cancel()
            self._watch.remove(child.pid)
            _tell(attempt, attempt.end(), answer, began_ns)
            self._slots.release(attempt)
            await self._scratch.remove_made(folder)

    async def _answer(self, attempt: Attempt, child: ChildProcess, folder: str) -> Done | Broken | Later | None:
        assert attempt.dataset is not None  # noqa: S101 (a slot is filled with what is looked up)
        job = attempt.job.on(attempt.dataset, attempt.others)
        if attempt.trace is not None:
            job = msgspec.structs.replace(job, traceparent=attempt.trace.traceparent)
        await child.send(Run(job, folder))
        while True:
            match await child.receive():
                case Advanced(progress=progress):
                    attempt.advance(progress)
                case Done() | Broken() | Later() as answer:
                    return answer
                case Ready() | None:
                    return None

    async def _died(self, child: ChildProcess) -> Died:
        code = await child.kill()
        return Died(code, out_of_memory=code == -signal.SIGKILL and self._watch.kernel_killed())

    async def _stop(self, attempt: Attempt, child: ChildProcess) -> Stopped:
        reason = attempt.stop_reason or StopReason.TIMED_OUT
        await child.kill()
        log.info("executor.killed", pid=child.pid, job_id=str(attempt.job.id), reason=reason)
        metrics.KILLED.labels(reason).inc()
        return Stopped(reason)

    def _judge(self, attempt: Attempt, answer: Answer) -> Outcome | None:
        """What the answer means for the job; None: it is not ours any more."""
        match answer:
            case Done(completed=completed):
                return completed
            case Broken(problem=problem, permanent=permanent):
                return self._failure(attempt, problem, permanent=permanent)
            case Later(delay_s=seconds):
                return Snoozed(seconds)
            case Died(code=code, out_of_memory=out_of_memory):
                if code is not None and -code in CRASHES:
                    return self._crashed(attempt, code)
                error = OutOfMemory if out_of_memory else ExecutorLost
                return self._failed_by(attempt, error(_how_it_died(code)))
            case Stopped(reason=reason):
                return self._stopped(attempt, reason)
            case _ as never:
                assert_never(never)

    def _stopped(self, attempt: Attempt, reason: StopReason) -> Outcome | None:
        match reason:
            case StopReason.TIMED_OUT:
                return self._failed_by(attempt, TimedOut(f"It took longer than {attempt.job.timeout_s} s"))
            case StopReason.STALLED:
                return self._failed_by(attempt, Stalled(f"It did not get on for {self._settings.stall_s:g} s"))
            case StopReason.OVER_MEMORY:
                return self._failed_by(attempt, MemoryLimit(_what_would_help(self._settings.executor_memory_mb)))
            case StopReason.CANCELED:
                return Canceled()
            case StopReason.LEASE_LOST:
                return None
            case _ as never:
                assert_never(never)

    def _crashed(self, attempt: Attempt, code: int) -> Outcome:
        """The same data would do it again. An upload comes from outside and is tried no more; a job on what we wrote
        ourselves is tried once more, for it may have been the machine.
        """
        ingest = attempt.job.kind == INGEST_KIND
        what = (
            "The file is most likely corrupt: write it anew, or in another format"
            if ingest
            else "It is tried once more at most"
        )
        error = ExecutorCrashed(f"{_how_it_died(code)}: it broke down on the data. {what}")
        return self._failure(attempt, error.problem(), permanent=ingest or attempt.job.attempt > 1)

    async def _hand_over(self, attempt: Attempt, outcome: Outcome | None) -> None:
        if outcome is None:
            self._completer.drop(attempt)
        else:
            await self._completer.submit(attempt, outcome)

    def _failed_by(self, attempt: Attempt, error: GristmillError) -> Outcome:
        return self._failure(attempt, error.problem(), permanent=error.permanent)

    def _failure(self, attempt: Attempt, problem: Problem, *, permanent: bool) -> Outcome:
        job, settings = attempt.job, self._settings
        return after_failure(
            problem,
            permanent=permanent,
            attempt=job.attempt,
            max_attempts=job.max_attempts,
            delay_s=backoff_s(job.attempt, base_s=settings.retry_base_s, cap_s=settings.retry_cap_s, rng=self._rng),
        )


def _tell(attempt: Attempt, seconds: float, answer: Answer | None, began_ns: int) -> None:
    """Metrics and spans of what an executor did. No answer: the worker stops."""
    kind = metrics.KINDS.label(attempt.job.kind)
    metrics.RUN_SECONDS.observe(seconds, kind)
    metrics.PEAK_BYTES.observe(attempt.peak, kind)
    noted = answer.noted if isinstance(answer, Done | Broken | Later) else Noted()
    metrics.S3_SECONDS.give(noted.s3)
    if attempt.trace is not None:
        error = None if isinstance(answer, Done | Later) else type(answer).__name__.lower()
        attempt.trace.ran(began_ns, noted.steps, error=error)


def _how_it_died(code: int | None) -> str:
    if code is not None and code < 0:
        return f"The process that ran the job was ended by signal {-code}"
    return f"The process that ran the job ended with code {code}"


def _what_would_help(budget_mb: int) -> str:
    return (
        f"It needed more than the {budget_mb} MiB of memory that a job may take. What helps: fewer columns, a `subset`"
        f" for drop_duplicates, methods that keep less, or a larger EXECUTOR_MEMORY_MB"
    )
