"""The threads that look at the columns of a batch side by side. NumPy and Polars release the interpreter meanwhile."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

import polars as pl

SHARED_FROM = 16_384
"""Rows of a batch from which handing over to another thread is cheaper than waiting."""


class Crew:
    """The calling thread and others, as many as Polars has together. Use it as a context manager."""

    def __init__(self) -> None:
        self._others: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._others is not None:
            self._others.shutdown(cancel_futures=True)

    def do(self, tasks: Sequence[Callable[[], None]], *, rows: int) -> None:
        """Do all of them, each on one thread; what one raises is raised here."""
        others = pl.thread_pool_size() - 1
        if rows < SHARED_FROM or not others:
            _drain(deque(tasks))
            return
        if self._others is None:
            self._others = ThreadPoolExecutor(max_workers=others, thread_name_prefix="crew")
        left = deque(tasks)
        helping = [self._others.submit(_drain, left) for _ in range(min(others, len(left) - 1))]
        try:
            _drain(left)
        finally:
            left.clear()
        for other in helping:
            other.result()


def _drain(left: deque[Callable[[], None]]) -> None:
    while True:
        try:
            task = left.popleft()
        except IndexError:
            return
        task()
