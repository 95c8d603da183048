"""Every metric, in one place, as every log event is in `telemetry.py`. What is said of each here is its documentation.

Labels are bounded: kinds, statuses, operations, outcomes; never an id, an owner or anything a user wrote. Like the
logger, metrics are a process's own and are made once, here.

Durations and sizes are kept by `Distribution` and not by the library's histogram, for two reasons: the queue drains
tens of thousands of jobs a second, of which a whole batch is to be noted at once; and executors are processes of
their own, whose figures travel to the supervisor with their answers.
"""

import asyncio
import math
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Info, ProcessCollector
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gristmill import __version__

PREFIX = "gristmill_"
# From one millisecond, a factor of about three each, to an hour.
SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3600.0)
CALL_SECONDS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
MEMORY_BYTES = tuple(float(mib * 1024 * 1024) for mib in (64, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096, 8192))
LAG_LOOK_S = 0.5
MOST_KINDS = 100
OTHER = "other"

REGISTRY = CollectorRegistry()

Labels = tuple[str, ...]


class Tally(msgspec.Struct, frozen=True, gc=False):
    """What one process has counted of a distribution, on its way to another: values in each bucket, and their sum."""

    labels: Labels
    counts: tuple[int, ...]
    total: float


class Distribution(Collector):
    """A histogram. `bounds` are the upper bounds of its buckets, in the unit of its name, ascending.

    May be used from any thread.
    """

    def __init__(self, name: str, documentation: str, labels: Labels, *, bounds: Sequence[float]) -> None:
        self.name = name
        self.documentation = documentation
        self.labels = labels
        self._bounds = tuple(bounds)
        self._lock = threading.Lock()
        self._counts: dict[Labels, list[int]] = {}
        self._totals: dict[Labels, float] = {}
        if not labels:
            self._of(())  # told from the start: a rate over what appears later misses its first values
        REGISTRY.register(self)

    def observe(self, value: float, *labels: str) -> None:
        with self._lock:
            self._of(labels)[bisect_left(self._bounds, value)] += 1
            self._totals[labels] += value

    def observe_all(self, values: Sequence[float], *labels: str) -> None:
        """Many values at the cost of few: they are sorted, and the bounds are looked up in them."""
        ordered = sorted(values)
        ends = [bisect_right(ordered, bound) for bound in self._bounds]
        with self._lock:
            counts = self._of(labels)
            for place, (start, end) in enumerate(zip([0, *ends], [*ends, len(ordered)], strict=True)):
                counts[place] += end - start
            self._totals[labels] += sum(ordered)

    def take(self) -> tuple[Tally, ...]:
        """What was counted here since the last time; it is another process's to tell from now on."""
        with self._lock:
            taken = tuple(Tally(labels, tuple(counts), self._totals[labels]) for labels, counts in self._counts.items())
            self._counts.clear()
            self._totals.clear()
        return taken

    def give(self, tallies: Iterable[Tally]) -> None:
        """Add what another process has counted."""
        with self._lock:
            for tally in tallies:
                counts = self._of(tally.labels)
                for place, count in enumerate(tally.counts):
                    counts[place] += count
                self._totals[tally.labels] += tally.total

    def describe(self) -> Iterator[Metric]:
        yield HistogramMetricFamily(self.name, self.documentation, labels=self.labels)

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self.name, self.documentation, labels=self.labels)
        with self._lock:
            for labels, counts in self._counts.items():
                family.add_metric(labels, self._buckets(counts), self._totals[labels])
        yield family

    def _buckets(self, counts: Sequence[int]) -> list[tuple[str, float]]:
        found, buckets = 0, []
        for bound, count in zip([*map(str, self._bounds), "+Inf"], counts, strict=True):
            found += count
            buckets.append((bound, float(found)))
        return buckets

    def _of(self, labels: Labels) -> list[int]:
        counts = self._counts.get(labels)
        if counts is None:
            counts = self._counts[labels] = [0] * (len(self._bounds) + 1)
            self._totals[labels] = 0.0
        return counts


class Kinds:
    """Kinds of jobs as label values. SQL may enqueue any name: after the first hundred all others are `other`."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def label(self, kind: str) -> str:
        if kind in self._seen:
            return kind
        if len(self._seen) >= MOST_KINDS:
            return OTHER
        self._seen.add(kind)
        return kind


def _counter(name: str, documentation: str, *labels: str) -> Counter:
    return Counter(PREFIX + name, documentation, labels, registry=REGISTRY)


def _gauge(name: str, documentation: str, *labels: str) -> Gauge:
    return Gauge(PREFIX + name, documentation, labels, registry=REGISTRY)


def _seconds(name: str, documentation: str, *labels: str, bounds: Sequence[float] = SECONDS) -> Distribution:
    return Distribution(PREFIX + name, documentation, labels, bounds=bounds)


KINDS = Kinds()

ProcessCollector(registry=REGISTRY)
Info("gristmill_build", "The version that runs.", registry=REGISTRY).info({"version": __version__})

# The queue and its workers, told by the API alone: one look at the database every few seconds.
QUEUE_JOBS = _gauge("queue_jobs", "Jobs that are not final, by state: due, delayed, blocked, running.", "kind", "state")
QUEUE_OLDEST = _gauge("queue_oldest_wait_seconds", "How long the oldest due job has been due.", "kind")
WORKERS = _gauge("workers", "Workers that the database has heard of lately.", "version")
WORKER_SLOTS = _gauge("worker_slots", "Jobs that these workers could run at once.", "version")

# What a worker does.
CLAIMED = _counter("jobs_claimed_total", "Jobs claimed.", "kind")
OUTCOMES = _counter("job_outcomes_total", "Attempts whose outcome is recorded.", "kind", "outcome")
FAILURES = _counter("job_failures_total", "Attempts that failed, by the code of their problem.", "kind", "code")
LEASES_LOST = _counter("leases_lost_total", "Attempts dropped because their lease was another's by then.", "kind")
RESCUED = _counter(
    "jobs_rescued_total", "Jobs taken back from workers that fell silent, by their new status.", "status"
)
ROWS = _counter("job_rows_total", "Rows of completed jobs: read, written, dropped.", "kind", "direction")
RESULT_BYTES = _counter("job_result_bytes_total", "Bytes of the files of completed jobs.", "kind")
KILLED = _counter("executor_kills_total", "Executors that were killed, by reason.", "reason")
STARTED = _counter("executor_starts_total", "Executors that became ready for jobs.")
RUNNING = _gauge("worker_jobs", "Jobs that this worker holds now, those in line for memory included.")
WAIT_SECONDS = _seconds("job_wait_seconds", "From a job being due to its claim.", "kind")
RUN_SECONDS = _seconds("job_run_seconds", "What an executor took for an attempt, however it ended.", "kind")
COMMIT_SECONDS = _seconds(
    "job_commit_seconds", "From an outcome to its record in the database, one value a batch.", bounds=CALL_SECONDS
)
PEAK_BYTES = Distribution(
    PREFIX + "executor_peak_memory_bytes",
    "The most memory that an executor was seen to hold during an attempt.",
    ("kind",),
    bounds=MEMORY_BYTES,
)

# What the API does.
REQUESTS = _counter("http_requests_total", "Requests by operation and class of status.", "operation", "status")
REQUEST_SECONDS = _seconds(
    "http_request_seconds", "From a request to the end of its answer, waiting and streaming included.", "operation"
)
KEY_CHECKS = _counter(
    "key_checks_total",
    "Requests where a key is needed, by what its check came to: ok, missing, unknown, wrong_secret, expired, revoked, "
    "lacks_scope. Why a key is refused is looked up once a minute.",
    "outcome",
)
KEY_OUTCOMES = ("ok", "missing", "unknown", "wrong_secret", "expired", "revoked", "lacks_scope")
for _outcome in KEY_OUTCOMES:
    KEY_CHECKS.labels(_outcome)  # told from the start: a rate over what appears later misses its first values
ADMIN_ENDS = _gauge(
    "admin_keys_expire_timestamp_seconds",
    "When the last API key with the scope admin expires, in seconds since 1970; +Inf: never; NaN: no admin asked for "
    "anything yet.",
)
ADMIN_ENDS.set(math.nan)
UPLOADED = _counter("upload_bytes_total", "Bytes of originals that were stored and committed.")

# What both do.
DATABASE_SECONDS = _seconds(
    "database_seconds",
    "What a use of a connection to PostgreSQL took, waiting for one included; outcome: ok, unavailable.",
    "outcome",
    bounds=CALL_SECONDS,
)
S3_SECONDS = _seconds(
    "s3_seconds",
    "What a call of S3 took to its answer's head; outcome: ok, failed, timed_out. Polars' own reads are not in it.",
    *("operation", "outcome"),
    bounds=CALL_SECONDS,
)
LAG_SECONDS = _seconds("event_loop_lag_seconds", "How late the event loop is.", bounds=CALL_SECONDS)


async def watch_lag() -> None:
    """Look again and again how late this event loop is, for as long as it runs."""
    while True:
        asked_for = time.monotonic() + LAG_LOOK_S
        await asyncio.sleep(LAG_LOOK_S)
        LAG_SECONDS.observe(max(0.0, time.monotonic() - asked_for))
