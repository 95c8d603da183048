"""How much one key may ask, and how much one owner may have.

All of it is counted in the process, so no row of the database becomes a hot one. Several API processes have a bucket of
requests each, and may together let some more jobs in than the limit: each at most what it was granted below.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from gristmill.db.engine import Database
from gristmill.db.quotas import pending_jobs, stored_bytes
from gristmill.errors import RateLimited, StorageFull, TooManyPending
from gristmill.settings import Settings

# Beyond so many keys those are forgotten that have all of their requests left anyway.
MANY_KEYS = 10_000
COUNT_AGAIN_S = 5.0
GRANTED_SHARE = 10
TRY_AGAIN_S = 10

Clock = Callable[[], float]


@dataclass(slots=True)
class Bucket:
    """What a key had left at a time (of a monotonic clock, seconds)."""

    left: float
    at: float


class Rates:
    """A token bucket for each key: `per_s` requests flow in, `burst` fit. With 0 per second nobody is limited."""

    def __init__(self, *, per_s: float, burst: int, clock: Clock = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}
        self.policy = f'"requests";q={burst};w={max(1, math.ceil(burst / per_s))}' if per_s else ""

    def take(self, key_id: str) -> tuple[dict[str, str], RateLimited | None]:
        """Count a request. Answers the headers that tell of the limit, and what to refuse the request with, if so.

        `RateLimit` and `RateLimit-Policy` are those of draft-ietf-httpapi-ratelimit-headers-10: `q` requests in `w`
        seconds, `r` of them left, all of them again in `t` seconds.
        """
        if not self._per_s:
            return {}, None
        now = self._clock()
        bucket = self._buckets.get(key_id)
        if bucket is None:
            bucket = self._begun(key_id, now)
        bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._per_s)
        bucket.at = now
        refusal = None
        if bucket.left >= 1:
            bucket.left -= 1
        else:
            wait_s = max(1, math.ceil((1 - bucket.left) / self._per_s))
            refusal = RateLimited(f"This key may ask {self._per_s:g} times a second.", retry_after_s=wait_s)
        full_s = math.ceil((self._burst - bucket.left) / self._per_s)
        return {
            "RateLimit-Policy": self.policy,
            "RateLimit": f'"requests";r={int(bucket.left)};t={full_s}',
        }, refusal

    def _begun(self, key_id: str, now: float) -> Bucket:
        if len(self._buckets) >= MANY_KEYS:
            full_at = now - self._burst / self._per_s
            self._buckets = {known: bucket for known, bucket in self._buckets.items() if bucket.at > full_at}
        return self._buckets.setdefault(key_id, Bucket(float(self._burst), now))


@dataclass(slots=True)
class Grant:
    """Jobs that an owner may still submit without being counted again, and until when."""

    jobs: int
    until: float


class Quotas:
    """What an owner may have. Jobs that wait are counted now and then; a tenth of what is free is granted at a time."""

    def __init__(self, settings: Settings, database: Database, *, clock: Clock = time.monotonic) -> None:
        self._max_pending = settings.max_pending_jobs
        self._max_bytes = settings.max_owner_bytes
        self._database = database
        self._clock = clock
        self._grants: dict[str, Grant] = {}

    async def take_jobs(self, jobs: int = 1, *, owner: str) -> None:
        """Make sure that an owner may submit so many jobs more. Costs no statement while a grant lasts.

        Raises TooManyPending.
        """
        if not self._max_pending:
            return
        now = self._clock()
        grant = self._grants.get(owner)
        if grant is None or grant.jobs < jobs or grant.until <= now:
            waiting = await pending_jobs(self._database.of(owner), owner=owner, limit=self._max_pending)
            free = self._max_pending - waiting
            if free < jobs:
                self._grants.pop(owner, None)
                raise TooManyPending(
                    f"{waiting} jobs wait, and {self._max_pending} may (MAX_PENDING_JOBS).", retry_after_s=TRY_AGAIN_S
                )
            if len(self._grants) >= MANY_KEYS:
                self._grants = {known: other for known, other in self._grants.items() if other.until > now}
            grant = self._grants[owner] = Grant(max(jobs, free // GRANTED_SHARE), now + COUNT_AGAIN_S)
        grant.jobs -= jobs

    async def check_storage(self, size_bytes: int | None, *, owner: str) -> None:
        """Make sure that an upload fits. One whose size is not announced (None) fits while there is any room.

        Raises StorageFull.
        """
        if not self._max_bytes:
            return
        stored = await stored_bytes(self._database.of(owner), owner=owner)
        if stored + (size_bytes or 1) > self._max_bytes:
            raise StorageFull(
                f"The datasets have {stored} bytes, and {self._max_bytes} are allowed (MAX_OWNER_BYTES): remove some."
            )
