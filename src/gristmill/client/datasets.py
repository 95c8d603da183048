"""What is done with datasets: looked at, listed, waited for, read."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

from gristmill.client import jobs
from gristmill.client.documents import (
    DatasetInfo,
    DatasetPage,
    JobInfo,
    Profile,
    RejectedRow,
    RejectPage,
    RowPage,
)
from gristmill.client.errors import WaitTimedOut
from gristmill.client.exchange import Deadline, Exchange

Paged = TypeVar("Paged", RowPage, RejectPage, DatasetPage)

INGEST = "ingest"
ROWS = 500
LONGEST_S = 3600.0 * 24 * 365


async def look(exchange: Exchange, dataset_id: str) -> DatasetInfo:
    return await exchange.get(DatasetInfo, f"/datasets/{dataset_id}")


async def listed(
    exchange: Exchange,
    *,
    status: str | None = None,
    name: str | None = None,
    labels: Sequence[str] = (),
    page: int = jobs.PAGE,
) -> AsyncIterator[DatasetInfo]:
    """Newest first, page by page as they are taken."""
    query = {"status": status, "name": name, "label": list(labels) or None, "limit": page}
    async for found in _pages(exchange, DatasetPage, "/datasets", query):
        for dataset in found.items:
            yield dataset


async def settle(
    exchange: Exchange,
    dataset_id: str,
    *,
    on_change: Callable[[JobInfo], object] | None = None,
    timeout_s: float | None = None,
) -> DatasetInfo:
    """The dataset once it is ready or failed. `on_change` gets the job that reads it. Raises WaitTimedOut."""
    deadline = Deadline(timeout_s)
    while True:
        dataset = await look(exchange, dataset_id)
        if dataset.settled:
            return dataset
        left_s = deadline.left_s(LONGEST_S)
        reading = await _reading(exchange, dataset_id)
        if left_s <= 0:
            raise WaitTimedOut(f"The dataset is {dataset.status} after {timeout_s:g} s.")
        if reading is None or reading.final:
            await exchange.transport.sleep(min(left_s, jobs.POLL_S))
        else:
            limit_s = None if timeout_s is None else left_s
            await jobs.wait(exchange, reading.id, on_change=on_change, timeout_s=limit_s)


async def _reading(exchange: Exchange, dataset_id: str) -> JobInfo | None:
    async for job in jobs.listed(exchange, kind=INGEST, dataset_id=dataset_id, page=1):
        return job
    return None


async def profile(exchange: Exchange, dataset_id: str) -> Profile:
    return await exchange.get(Profile, f"/datasets/{dataset_id}/profile")


async def rows(exchange: Exchange, path: str, columns: Sequence[str] | None) -> AsyncIterator[dict[str, Any]]:
    """The rows of a dataset or a result, as values by column."""
    query = {"columns": None if columns is None else list(columns), "limit": ROWS}
    async for page in _pages(exchange, RowPage, path, query):
        names = [column.name for column in page.columns]
        for row in page.rows:
            yield dict(zip(names, row, strict=True))


async def rejects(exchange: Exchange, dataset_id: str, *, reason: str | None) -> AsyncIterator[RejectedRow]:
    query = {"reason": reason, "limit": ROWS}
    async for page in _pages(exchange, RejectPage, f"/datasets/{dataset_id}/rejects", query):
        for row in page.items:
            yield row


async def _pages(exchange: Exchange, kind: type[Paged], path: str, query: dict[str, Any]) -> AsyncIterator[Paged]:
    page = await exchange.get(kind, path, query)
    yield page
    while page.next is not None:
        page = await exchange.get(kind, path, {**query, "cursor": page.next})
        yield page
