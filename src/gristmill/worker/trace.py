"""The spans of one attempt: job, and in it the wait for its claim, its run with the executor's steps, its commit."""

import time
from collections.abc import Sequence

from gristmill.domain.job import Claim
from gristmill.steps import Step
from gristmill.tracing import Span, Tracer


class AttemptTrace:
    """Begins with the claim; `end` is to be called once."""

    def __init__(self, tracer: Tracer, job: Claim) -> None:
        self._tracer = tracer
        now_ns = time.time_ns()
        due_ns = now_ns - max(0, round(job.waited_s * 1e9))
        self._job = tracer.start(f"job {job.kind}", parent=job.traceparent, kind="consumer", at_ns=due_ns)
        self._attributes: dict[str, str | int] = {"gristmill.job.id": str(job.id), "gristmill.job.attempt": job.attempt}
        self.traceparent = self._job.traceparent
        self._child("claim wait", due_ns).end(at_ns=now_ns)
        self._commit: Span | None = None

    def ran(self, began_ns: int, steps: Sequence[Step], *, error: str | None) -> None:
        """Its executor has ended with it."""
        run = self._child("run", began_ns)
        for step in steps:
            self._tracer.start(step.name, parent=run.traceparent, at_ns=step.began_ns).end(at_ns=step.ended_ns)
        run.end(error=error)

    def decided(self) -> None:
        """From now on its outcome waits to be recorded."""
        self._commit = self._child("commit", time.time_ns())

    def end(self, outcome: str, *, error: str | None) -> None:
        if self._commit is not None:
            self._commit.end()
        self._job.end(error=error, attributes={**self._attributes, "gristmill.job.outcome": outcome})

    def _child(self, name: str, at_ns: int) -> Span:
        return self._tracer.start(name, parent=self.traceparent, at_ns=at_ns)
