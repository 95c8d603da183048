"""Messages arrive as they were sent; a broken pipe is an end, not a hang."""

import asyncio
from uuid import uuid4

import msgspec
import pytest

from gristmill.domain.dataset import DataFormat, DatasetInput
from gristmill.domain.job import ClaimedJob, Progress
from gristmill.domain.manifest import Manifest
from gristmill.domain.outcome import Completed
from gristmill.errors import BadData
from gristmill.worker.protocol import (
    LENGTH,
    MAX_FRAME_BYTES,
    Advanced,
    Broken,
    Done,
    FromChild,
    Ready,
    Run,
    frame,
    from_child,
    from_supervisor,
    read_message,
)

JOB = ClaimedJob(
    id=uuid4(),
    owner="ann",
    kind="metrics",
    params=msgspec.Raw(b'{"columns": ["\xc3\xa4"]}'),
    attempt=1,
    max_attempts=3,
    lease=7,
    timeout_s=60,
    dataset=DatasetInput(uuid4(), DataFormat.CSV, "k/original", 10),
)


def reader_of(content: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(content)
    reader.feed_eof()
    return reader


async def test_a_job_keeps_its_params_as_they_are() -> None:
    message = await read_message(reader_of(frame(Run(JOB, "/scratch/7"))), from_supervisor)
    assert message == Run(JOB, "/scratch/7")


@pytest.mark.parametrize(
    "message",
    [
        Ready(),
        Advanced(Progress("fit", 3, 9)),
        Done(Completed(Manifest("b", "p/", (), report=msgspec.Raw(b'{"a": 1}')))),
        Broken(BadData("It is empty").problem(), permanent=True),
    ],
)
async def test_what_a_child_says_arrives(message: FromChild) -> None:
    reader = reader_of(frame(message) + frame(Ready()))
    assert await read_message(reader, from_child) == message
    assert await read_message(reader, from_child) == Ready()
    assert await read_message(reader, from_child) is None


@pytest.mark.parametrize("size", [0, 2, 4, 9])
async def test_a_pipe_that_ends_within_a_message_is_an_end(size: int) -> None:
    assert await read_message(reader_of(frame(Advanced(Progress("fit", 1)))[:size]), from_child) is None


@pytest.mark.parametrize("content", [LENGTH.pack(4) + b"nope", LENGTH.pack(MAX_FRAME_BYTES + 1)])
async def test_nonsense_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="message"):
        await read_message(reader_of(content), from_child)
