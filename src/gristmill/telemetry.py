"""The table of event names and their fields, and how log lines are written.

Nothing of a user's data goes into a log line: ids, counts, sizes, durations, kinds and codes only.

Lines of a request or job that belongs to a trace also have its `trace_id`.

| event | fields | when |
|---|---|---|
| api.started, api.stopped | host, port | the API accepts requests, or has stopped |
| api.request_failed | request_id, method, route, error, frames | a defect of ours while answering (500) |
| api.watch_failed | error, frames | a defect of ours while looking at jobs that are waited for; the next look is near |
| key.refused | key_id, reason | a key was refused; at most once a minute for each key, unknown ones together |
| key.last_admin_expires | key_id, days | the last admin's key expires in so many days; once an hour while admins ask |
| key.created, key.revoked, key.rotated | key_id, asked_by | an admin did so over the API, with the key `asked_by` |
| job.deleted | job_id, key_id | its owner removed a job |
| dataset.deleted | dataset_id, key_id | its owner removed a dataset |
| upload.begun | dataset_id, bytes | an upload by presigned URLs may begin |
| upload.stored | dataset_id, bytes | an original is in the bucket and its dataset committed |
| upload.dropped | dataset_id, reason | an upload ended early; nothing of it is kept |
| worker.started, worker.stopped | worker_id, slots | a worker claims, or has stopped |
| worker.draining | worker_id, running, signal | a stop was asked for |
| worker.backoff | worker_id, task, error, delay_s | a side task lost PostgreSQL and waits |
| worker.task_died | worker_id, task, error, frames | a side task ended by a defect; the worker stops |
| worker.left_rows | worker_id, error | PostgreSQL was away when the worker stopped; others take back what it held |
| job.claimed | job_id, kind, attempt, lease | an executor of ours is to run it |
| job.outcome | job_id, kind, attempt, lease, outcome, code, seconds | an outcome is recorded |
| job.lease_lost | job_id, lease | a write was refused by the fence; the work is dropped |
| job.rescued | lease, status | an expired lease was taken back |
| job.defect | job_id, lease, problem_id, error, frames | a job hit a defect of ours; the user has the problem's id |
| job.unstorable | job_id, problem_id, error | an outcome did not fit the database; the job failed instead |
| job.left_objects | job_id, lease, error | objects of a lost attempt or a removed job are left to the sweeper |
| dataset.left_objects | dataset_id, error | objects of a removed dataset are left to the clearer |
| executor.started | pid | an executor is ready for jobs |
| executor.exited | pid, code | an executor is gone; -9: killed |
| executor.gone | pid | it had died already when we came to kill it |
| executor.killed | pid, job_id, reason | canceled, timed_out, lease_lost, stalled, over_memory, or not_ready |
| executor.oom_score | pid, error | the system does not let us say that executors are to be killed first |
| executor.recycled | pid, bytes | an executor kept too much memory from its jobs; a fresh one takes its place |
| job.held | job_id, lease, bytes | a claimed job waits for the memory it is going to need |
| webhook.attempted | delivery_id, attempt, status | a webhook was tried; status of the answer, or none |
| chore.ran | chore, counts | a background chore did something |
"""

import logging
import sys
import traceback
from pathlib import Path
from typing import Literal

import structlog

# Their lines at "info" carry request paths and keys, or nothing; what matters of them is in our own events.
NOISY = (
    *("botocore", "aiobotocore", "aioboto3", "urllib3", "httpx", "httpcore", "asyncio"),
    "alembic.runtime.plugins",
)
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure_logging(level: str, style: Literal["console", "json"]) -> None:
    """Send all log lines, ours and the libraries', to standard error in one style."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger


def frames(error: BaseException) -> list[str]:
    """Where an error came from, without its message: parsers and databases quote what they were given."""
    trace = traceback.extract_tb(error.__traceback__)
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in trace]
