"""What is done with jobs: submitted, looked at, waited for, followed, canceled, run again."""

import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import httpx

from gristmill.client.documents import Event, JobInfo, JobPage, JobPlan, Kind, KindList, Queue, Worker, WorkerList
from gristmill.client.errors import ClientError, Unavailable, UnexpectedAnswer, Unreachable, WaitTimedOut
from gristmill.client.exchange import Deadline, Exchange, decoded, new_key, retry_after
from gristmill.client.sse import events_in
from gristmill.client.transport import Request

PAGE = 200
# The server waits 30 seconds at most; a connection that is silent for longer is taken for dead by some proxies.
LONGEST_POLL_S = 25.0
POLL_S = 1.0
LEAST_POLL_S = 0.02
# The server sends a comment every 15 seconds.
SILENT_S = 45.0

OnChange = Callable[[JobInfo], object]


async def submit(exchange: Exchange, body: Mapping[str, object], *, key: str | None) -> JobInfo:
    return await exchange.post(JobInfo, "/jobs", body, key=key or new_key())


async def plan(exchange: Exchange, body: Mapping[str, object]) -> JobPlan:
    # It creates nothing, so it may be sent twice.
    return await exchange.post(JobPlan, "/jobs", body, query={"validate_only": "true"}, key=new_key())


async def look(exchange: Exchange, job_id: str) -> JobInfo:
    return await exchange.get(JobInfo, f"/jobs/{job_id}")


async def listed(
    exchange: Exchange,
    *,
    status: str | None = None,
    kind: str | None = None,
    dataset_id: str | None = None,
    labels: Sequence[str] = (),
    page: int = PAGE,
) -> AsyncIterator[JobInfo]:
    """Newest first, page by page as they are taken."""
    query = {"status": status, "kind": kind, "dataset_id": dataset_id, "label": list(labels) or None, "limit": page}
    found = await exchange.get(JobPage, "/jobs", query)
    while True:
        for job in found.items:
            yield job
        if found.next is None:
            return
        found = await exchange.get(JobPage, "/jobs", {**query, "cursor": found.next})


async def cancel(exchange: Exchange, job_id: str) -> JobInfo:
    return await exchange.post(JobInfo, f"/jobs/{job_id}/cancel")


async def retry(exchange: Exchange, job_id: str) -> JobInfo:
    return await exchange.post(JobInfo, f"/jobs/{job_id}/retry")


async def wait(
    exchange: Exchange, job_id: str, *, on_change: OnChange | None = None, timeout_s: float | None = None
) -> JobInfo:
    """Long-poll a job until it is final. `on_change` gets every new look of it, the last one included.

    Raises WaitTimedOut.
    """
    deadline = Deadline(timeout_s)
    seen: JobInfo | None = None
    etag: str | None = None
    while True:
        wait_s = math.ceil(deadline.left_s(LONGEST_POLL_S)) if seen is not None else 0
        answer = await exchange.send(_poll(job_id, etag, wait_s))
        if answer.status_code != httpx.codes.NOT_MODIFIED:
            job, etag = decoded(answer, JobInfo), answer.headers.get("ETag")
            if job != seen and on_change is not None:
                on_change(job)
            seen = job
            if job.final:
                return job
        if seen is None:
            raise UnexpectedAnswer("The server says that a job has not changed that it never told.")
        left_s = deadline.left_s(LONGEST_POLL_S)
        pause_s = _pause_s(answer, waited=wait_s > 0 and etag is not None)
        if left_s <= 0 or pause_s > left_s:
            raise WaitTimedOut(f"The job is {seen.status} after {timeout_s:g} s.")
        if pause_s:
            await exchange.transport.sleep(pause_s)


def _poll(job_id: str, etag: str | None, wait_s: int) -> Request:
    headers = {"If-None-Match": etag} if etag is not None else {}
    if wait_s > 0 and etag is not None:
        headers["Prefer"] = f"wait={wait_s}"
    return Request(method="GET", url=f"/jobs/{job_id}", headers=headers, timeout_s=wait_s + SILENT_S)


def _pause_s(answer: httpx.Response, *, waited: bool) -> float:
    """Seconds to the next look: none where the server has waited for a change itself."""
    if waited and "Preference-Applied" in answer.headers:
        return 0.0
    if "ETag" in answer.headers and not waited:
        return 0.0
    asked_s = retry_after(answer)
    return POLL_S if asked_s is None else max(asked_s, LEAST_POLL_S)


async def events(exchange: Exchange, job_id: str, *, after: int | None = None) -> AsyncIterator[Event]:
    """A job's history from its beginning (or after an event), and on, live, until the job is final. Who is cut off
    goes on where it was: each event comes once.
    """
    attempt, last = 1, after
    while True:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": str(last)} if last is not None else {})}
        request = Request(method="GET", url=f"/jobs/{job_id}/events", headers=headers, timeout_s=SILENT_S)
        heard = last
        failure: ClientError
        try:
            async with exchange.stream(request) as streamed:
                if streamed.response.status_code == httpx.codes.NO_CONTENT:
                    return
                async for event in events_in(streamed.lines()):
                    last, attempt = event.id, 1
                    yield event
            failure = Unreachable("The stream of events ended early.")
        except (Unreachable, Unavailable) as error:
            failure = error
        else:
            if last != heard:
                continue  # the server says whether there is more
        await exchange.pause(attempt, failure)
        attempt += 1


async def kinds(exchange: Exchange) -> tuple[Kind, ...]:
    return (await exchange.get(KindList, "/processors")).items


async def queue(exchange: Exchange) -> Queue:
    return await exchange.get(Queue, "/queue")


async def workers(exchange: Exchange) -> tuple[Worker, ...]:
    return (await exchange.get(WorkerList, "/workers")).items


def more_fields(**given: Any) -> dict[str, object]:
    """Those that are given."""
    return {name: value for name, value in given.items() if value is not None}
