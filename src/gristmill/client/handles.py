"""What the objects of both clients have in common: where the server is, and what was last heard of a thing."""

import os
from collections.abc import Mapping
from typing import Any

from gristmill.client.documents import (
    Column,
    DatasetInfo,
    JobInfo,
    Problem,
    Progress,
    ResultFile,
    ResultInfo,
)
from gristmill.client.transport import Place

DEFAULT_URL = "http://127.0.0.1:8000"
URL_VARIABLE, KEY_VARIABLE = "GRISTMILL_URL", "GRISTMILL_API_KEY"


def place_of(url: str | None, api_key: str | None, timeout_s: float) -> Place:
    """Where the server is. Without a URL, `GRISTMILL_URL` and `GRISTMILL_API_KEY` say it, where they are set."""
    if url is None:
        url = os.environ.get(URL_VARIABLE) or DEFAULT_URL
        api_key = api_key or os.environ.get(KEY_VARIABLE) or None
    headers = {"User-Agent": "gristmill-client"}
    if api_key is not None:
        headers["Authorization"] = f"Bearer {api_key}"
    return Place(url=url.rstrip("/"), headers=headers, timeout_s=timeout_s)


def id_of(thing: "str | DatasetHandle | JobHandle") -> str:
    return thing if isinstance(thing, str) else thing.id


def ignored(_: object) -> None:
    """What is called where nobody wants to be told."""


def job_request(
    kind: str,
    dataset: "str | DatasetHandle | None",
    input_job: "str | JobHandle | None",
    params: Mapping[str, object] | None,
    more: Mapping[str, object],
) -> dict[str, object]:
    """The body of a job's request. Raises ValueError: it has no input, or two."""
    if (dataset is None) == (input_job is None):
        raise ValueError("a job works on a dataset or on another job's result")
    source: dict[str, object] = {} if dataset is None else {"dataset_id": id_of(dataset)}
    if input_job is not None:
        source = {"input": {"job_id": id_of(input_job)}}
    return {"kind": kind, **source, "params": dict(params or {}), **more}


class DatasetHandle:
    """A dataset. `info` is all that was heard of it last."""

    def __init__(self, info: DatasetInfo) -> None:
        self.info = info

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status}>"

    @property
    def id(self) -> str:
        return self.info.id

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def status(self) -> str:
        """`validating`, `ready` or `failed`."""
        return self.info.status

    @property
    def columns(self) -> tuple[Column, ...] | None:
        return self.info.columns

    @property
    def error(self) -> Problem | None:
        return self.info.error


class JobHandle:
    """A job. `info` is all that was heard of it last."""

    def __init__(self, info: JobInfo) -> None:
        self.info = info

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.kind} {self.status}>"

    @property
    def id(self) -> str:
        return self.info.id

    @property
    def kind(self) -> str:
        return self.info.kind

    @property
    def status(self) -> str:
        """`pending`, `running`, `completed`, `failed` or `canceled`."""
        return self.info.status

    @property
    def final(self) -> bool:
        return self.info.final

    @property
    def progress(self) -> Progress | None:
        return self.info.progress

    @property
    def error(self) -> Problem | None:
        """Why it failed, or why its last attempt did."""
        return self.info.error


class ResultHandle:
    """A job's result: its files, its report, and with `rows` and `to_polars` its tables."""

    def __init__(self, info: ResultInfo, job_id: str) -> None:
        self.info = info
        self.job_id = job_id

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.job_id}: {len(self.files)} files>"

    @property
    def files(self) -> tuple[ResultFile, ...]:
        return self.info.files

    def report(self) -> dict[str, Any]:
        """What the job found: the content of `report.json`."""
        return self.info.report
