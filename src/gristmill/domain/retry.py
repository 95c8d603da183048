"""When a failed attempt is tried again."""

import random

from gristmill.domain.outcome import Failed, Retry
from gristmill.errors import Problem


def backoff_s(attempt: int, *, base_s: float, cap_s: float, rng: random.Random) -> float:
    """Seconds to wait after failed attempt `attempt` (1, 2, …): exponential with full jitter.

    Uniform in [0, min(cap, base * 2^(attempt-1))]; "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
    """
    ceiling = min(cap_s, base_s * 2 ** min(attempt - 1, 62))
    return rng.uniform(0, ceiling)


def after_failure(
    problem: Problem, *, permanent: bool, attempt: int, max_attempts: int, delay_s: float
) -> Failed | Retry:
    """Retry while attempts are left and trying again can help."""
    if permanent or attempt >= max_attempts:
        return Failed(problem)
    return Retry(problem, delay_s)
