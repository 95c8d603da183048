"""What is tried again, how often, and after how long."""

import random
from dataclasses import dataclass

from gristmill.client.errors import ClientError, KeyInUse, ProblemError, Unreachable

PASSING = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, kw_only=True)
class Retry:
    """A request that does the same when it is sent twice (a safe method, or a POST with an Idempotency-Key) is sent
    up to `attempts` times in all.

    Before attempt n + 1 comes a pause of a random length up to `base_s` * 2^(n - 1), at most `cap_s` ("full jitter":
    Brooker 2015, Exponential Backoff And Jitter), or the one that the server asked for (`Retry-After`) where that is
    longer. Where it asks for more than `patience_s`, its refusal is raised instead.
    """

    attempts: int = 5
    base_s: float = 0.5
    cap_s: float = 20.0
    patience_s: float = 60.0

    def pause_s(self, attempt: int, error: ClientError, rng: random.Random) -> float | None:
        """Seconds before the next attempt after this one (from 1) has failed; None: there is none."""
        if attempt >= self.attempts or not may_pass(error):
            return None
        asked_s = error.retry_after_s if isinstance(error, ProblemError) else None
        if asked_s is not None and asked_s > self.patience_s:
            return None
        jittered = rng.uniform(0.0, min(self.cap_s, self.base_s * 2.0 ** (attempt - 1)))
        return max(asked_s or 0.0, jittered)


NEVER = Retry(attempts=1)


def may_pass(error: ClientError) -> bool:
    """Whether the same request may be answered otherwise a little later."""
    if isinstance(error, ProblemError):
        return error.status in PASSING or isinstance(error, KeyInUse)
    return isinstance(error, Unreachable)
