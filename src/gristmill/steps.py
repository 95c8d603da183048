"""Steps of a request or job, noted where somebody asked for it; else a step costs one look at a context variable."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Protocol

import msgspec


class Step(msgspec.Struct, frozen=True, gc=False):
    """A step of an executor: when it began and ended, in ns since 1970."""

    name: str
    began_ns: int
    ended_ns: int


class Recorder(Protocol):
    """What becomes of the steps of a request or job."""

    def step(self, name: str) -> AbstractContextManager[None]: ...


_recorder: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


@contextmanager
def recorded(recorder: Recorder | None) -> Iterator[None]:
    """Steps in here go to `recorder`."""
    token = _recorder.set(recorder)
    try:
        yield
    finally:
        _recorder.reset(token)


def step(name: str) -> AbstractContextManager[None]:
    """Note a step of the request or job that is under way, if anybody wants to know."""
    recorder = _recorder.get()
    return nullcontext() if recorder is None else recorder.step(name)


class Steps:
    """Notes steps one after the other, to be told elsewhere."""

    def __init__(self) -> None:
        self.noted: list[Step] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        began_ns = time.time_ns()
        try:
            yield
        finally:
            self.noted.append(Step(name, began_ns, time.time_ns()))
