"""The typed client for other people's programs. It knows the REST contract and nothing of the server.

    from gristmill import Client

    with Client("http://127.0.0.1:8000") as client:
        job = client.submit("metrics", client.upload("strikes.csv")).wait()
        print(job.result().report()["rows"])

`AsyncClient` is the same with `await`. What the server refuses is raised as the exception of its problem; the tree is
in `errors.py`. Everything that can be asked is written once, as coroutines over a `Transport`: that of `Client` blocks
where that of `AsyncClient` waits.
"""

from gristmill.client.awaited import AsyncClient, AsyncDataset, AsyncJob, AsyncResult
from gristmill.client.blocking import Client, Dataset, Job, Result
from gristmill.client.documents import (
    Column,
    DatasetInfo,
    Event,
    Fault,
    Gone,
    History,
    JobChange,
    JobInfo,
    JobPlan,
    KeyInfo,
    Kind,
    Minute,
    NewKey,
    Opened,
    Problem,
    Profile,
    Progress,
    Queue,
    QueueChange,
    RejectedRow,
    ResultFile,
    ResultInfo,
    RotatedKey,
    Run,
    WhoAmI,
    Worker,
    WorkerList,
)
from gristmill.client.errors import ClientError, ProblemError, UnexpectedAnswer, Unreachable, WaitTimedOut, WrongBytes
from gristmill.client.retrying import Retry

__all__ = [
    "AsyncClient",
    "AsyncDataset",
    "AsyncJob",
    "AsyncResult",
    "Client",
    "ClientError",
    "Column",
    "Dataset",
    "DatasetInfo",
    "Event",
    "Fault",
    "Gone",
    "History",
    "Job",
    "JobChange",
    "JobInfo",
    "JobPlan",
    "KeyInfo",
    "Kind",
    "Minute",
    "NewKey",
    "Opened",
    "Problem",
    "ProblemError",
    "Profile",
    "Progress",
    "Queue",
    "QueueChange",
    "RejectedRow",
    "Result",
    "ResultFile",
    "ResultInfo",
    "Retry",
    "RotatedKey",
    "Run",
    "UnexpectedAnswer",
    "Unreachable",
    "WaitTimedOut",
    "WhoAmI",
    "Worker",
    "WorkerList",
    "WrongBytes",
]
