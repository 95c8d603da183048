"""The worker process: starts its tasks, watches them, and stops them politely. It never computes."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from gristmill import metrics, tracing
from gristmill.db.engine import Database
from gristmill.db.inputs import Inputs
from gristmill.db.workers import deregister_worker
from gristmill.domain.left import Paces
from gristmill.domain.outcome import Interrupted
from gristmill.domain.role import Role
from gristmill.errors import Unavailable
from gristmill.objects import ObjectStore
from gristmill.settings import MIB, Settings
from gristmill.telemetry import frames, get_logger
from gristmill.worker.attempt import Attempts
from gristmill.worker.cleaner import Cleaner
from gristmill.worker.clearer import Clearer
from gristmill.worker.completer import Completer
from gristmill.worker.deliverer import Deliverer
from gristmill.worker.executor import Executor
from gristmill.worker.exposition import served_metrics
from gristmill.worker.heartbeat import HeartbeatSender
from gristmill.worker.notifier import Notifier
from gristmill.worker.producer import Producer
from gristmill.worker.pruner import Pruner
from gristmill.worker.rescuer import Rescuer
from gristmill.worker.room import Room, memory_to_share
from gristmill.worker.scheduler import Scheduler
from gristmill.worker.scratch import Scratch
from gristmill.worker.slots import Crew, ExecutorSlots, Hire
from gristmill.worker.sweeper import Sweeper
from gristmill.worker.tasks import Chore, first_of, persist, run_chore
from gristmill.worker.watch import Watch

log = get_logger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
CLEANING_S = 10.0


async def run_worker(settings: Settings) -> int:
    """Work until SIGTERM or SIGINT. Answers the exit code: 0, or 1 when a part of the worker died by a defect.

    The first signal stops claiming and gives running jobs `soft_stop_s` seconds to end; the second one kills them.
    Jobs that are killed go back to the queue with no attempt burnt.
    """
    worker_id = uuid4()
    async with (
        served_metrics(settings),
        Database.open(settings, application="gristmill-worker", role=Role.WORKER) as database,
        ObjectStore.open(settings) as store,
        Scratch.open(settings, worker_id) as scratch,
    ):
        hire = partial(hire_executors, settings, database, scratch)
        return await Supervisor(settings, worker_id, database, store, hire).run()


def hire_executors(
    settings: Settings,
    database: Database,
    scratch: Scratch,
    completer: Completer,
    *,
    on_free: Callable[[], None],
) -> Crew:
    """Child processes that compute, each with a slot of its own."""
    budget = settings.executor_memory_mb * MIB
    room = Room(memory_to_share(settings), budget=budget, slots=settings.concurrency)
    slots = ExecutorSlots(Inputs(database), completer, room, on_free=on_free)
    watch = Watch(settings, also=slots.tend)
    executors = [Executor(settings, slots, completer, scratch, watch) for _ in range(settings.concurrency)]
    return Crew(slots, [watch.run(), *(executor.run() for executor in executors)])


class StopSignals:
    """Counts the signals that ask the worker to stop."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self.name: str | None = None

    @classmethod
    @asynccontextmanager
    async def caught(cls) -> AsyncIterator["StopSignals"]:
        signals = cls()
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, signals.note, number)
        try:
            yield signals
        finally:
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)

    def note(self, number: signal.Signals) -> None:
        if self.first.is_set():
            self.second.set()
        self.name = number.name
        self.first.set()


class Supervisor:
    """A worker's parts, put together. `hire` brings those who compute."""

    def __init__(self, settings: Settings, worker_id: UUID, database: Database, store: ObjectStore, hire: Hire) -> None:
        self._settings = settings
        self._worker_id = worker_id
        self._database = database
        self._tracer = tracing.open_tracer("gristmill-worker")
        self._attempts = Attempts(self._tracer)
        self._cleaner = Cleaner(settings, store)
        paces = Paces()
        self._completer = Completer(
            database, worker_id, self._attempts, self._cleaner, on_retry=self._retried, paces=paces
        )
        self._producer = Producer(settings, database, worker_id, self._attempts, self._completer)
        self._crew = hire(self._completer, on_free=self._producer.slot_freed)
        self._heartbeat = HeartbeatSender(settings, database, worker_id, self._attempts, paces)
        self._chores: list[Chore] = [
            Rescuer(settings, database, on_jobs=self._producer.hurry),
            Sweeper(settings, database, store),
            Clearer(settings, database, store),
            Pruner(settings, database),
            Deliverer(settings, database),
            Scheduler(database, on_jobs=self._producer.hurry),
        ]
        self._tasks: set[asyncio.Task[None]] = set()
        self._died = asyncio.Event()

    def _retried(self) -> None:
        """The producer does not know yet when the job is due again."""
        self._producer.hurry()

    async def run(self) -> int:
        _collect_rarely()
        slots = self._settings.concurrency
        async with StopSignals.caught() as signals:
            producing = self._start("producer", self._producer.run(self._crew.slots))
            computing = [self._start(f"crew-{n}", work) for n, work in enumerate(self._crew.tasks)]
            completing = self._start("completer", self._completer.run())
            cleaning = self._start("cleaner", self._cleaner.run())
            self._start_side_tasks()
            metrics.RUNNING.set_function(self._attempts.__len__)
            log.info("worker.started", worker_id=str(self._worker_id), slots=slots)
            try:
                await first_of(signals.first, self._died)
                await self._drain(signals, producing)
                await self._hard_stop(
                    producing=producing, computing=computing, completing=completing, cleaning=cleaning
                )
            finally:
                await _end(self._tasks)
                if self._tracer is not None:
                    await asyncio.to_thread(self._tracer.close)
        log.info("worker.stopped", worker_id=str(self._worker_id), slots=slots)
        return 1 if self._died.is_set() else 0

    def _start_side_tasks(self) -> None:
        self._start("lag", metrics.watch_lag())
        self._start("heartbeat", persist("heartbeat", self._worker_id, self._heartbeat.round))
        if self._settings.listen_notify:
            notifier = Notifier(self._settings, on_jobs=self._producer.hurry, on_cancel=self._heartbeat.hurry)
            self._start("notifier", persist("notifier", self._worker_id, notifier.listen))
        for chore in self._chores:
            self._start(chore.name, run_chore(chore, self._worker_id))

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._watch)
        self._tasks.add(task)
        return task

    def _watch(self, task: asyncio.Task[None]) -> None:
        """A task that dies by a defect stops the worker: half a worker would hold jobs that nobody finishes."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        log.error(
            "worker.task_died",
            worker_id=str(self._worker_id),
            task=task.get_name(),
            error=type(error).__name__,
            frames=frames(error),
        )
        self._died.set()

    async def _drain(self, signals: StopSignals, producing: asyncio.Task[None]) -> None:
        log.info("worker.draining", worker_id=str(self._worker_id), running=len(self._attempts), signal=signals.name)
        self._producer.stop()
        drained = asyncio.create_task(self._drained(producing), name="drain")
        hurry = asyncio.create_task(first_of(signals.second, self._died), name="hurry")
        await asyncio.wait({drained, hurry}, timeout=self._settings.soft_stop_s, return_when=asyncio.FIRST_COMPLETED)
        await _end({drained, hurry})

    async def _drained(self, producing: asyncio.Task[None]) -> None:
        await asyncio.wait({producing})
        await self._attempts.until_none()

    async def _hard_stop(
        self,
        *,
        producing: asyncio.Task[None],
        computing: list[asyncio.Task[None]],
        completing: asyncio.Task[None],
        cleaning: asyncio.Task[None],
    ) -> None:
        """Kill what still runs and give it back. Nothing that was claimed is left behind."""
        await _end(set(computing))
        # A claim under way is not cut: the jobs it brings would be ours and nobody would know.
        await asyncio.wait({producing}, timeout=self._settings.postgres_deadline_s)
        for attempt in self._attempts:
            if not attempt.decided:
                await self._completer.submit(attempt, Interrupted())
        # After a lease without PostgreSQL the jobs are others' anyway.
        await _while_alive(completing, self._attempts.until_none(), timeout_s=self._settings.lease_s)
        await _while_alive(cleaning, self._cleaner.until_done(), timeout_s=CLEANING_S)
        try:
            await self._producer.release_strays()
            await deregister_worker(self._database, self._worker_id)
        except Unavailable as error:
            log.warning("worker.left_rows", worker_id=str(self._worker_id), error=error.code)


def _collect_rarely() -> None:
    """What is here now stays, and attempts make no cycles: Python's own thresholds had the collector look at all of
    them again and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _while_alive(doer: asyncio.Task[None], done: Coroutine[Any, Any, None], *, timeout_s: float) -> None:
    """Wait for `done`, as long as the task that brings it about lives."""
    waiting = asyncio.create_task(done)
    await asyncio.wait({waiting, doer}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    await _end({waiting})
