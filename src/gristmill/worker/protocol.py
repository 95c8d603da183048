"""What the supervisor and an executor's child process say to each other: frames of a length and a message.

    supervisor ─▶ child    Run
    child ─▶ supervisor    Ready, then for each Run: Advanced …, and one of Done, Broken, Later

The messages are JSON, because what they carry (params, reports, profiles) is JSON already and passes through as it is.
"""

import asyncio
import struct
from typing import TypeVar

import msgspec

from gristmill.domain.job import ClaimedJob, Progress
from gristmill.domain.outcome import Completed
from gristmill.errors import Problem
from gristmill.metrics import Tally
from gristmill.steps import Step

LENGTH = struct.Struct(">I")
MAX_FRAME_BYTES = 512 * 1024 * 1024


class Run(msgspec.Struct, frozen=True, tag="run"):
    """Do this job; `scratch` is where to make a folder for it, which is removed afterwards."""

    job: ClaimedJob
    scratch: str


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """Everything is imported; jobs may come."""


class Advanced(msgspec.Struct, frozen=True, tag="advanced"):
    progress: Progress


class Noted(msgspec.Struct, frozen=True):
    """What a child has counted and timed during a job: its calls of S3, and its steps where the job is traced."""

    s3: tuple[Tally, ...] = ()
    steps: tuple[Step, ...] = ()


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The work is done and its files are in the bucket; whether it counts is for the fence to say."""

    completed: Completed
    noted: Noted = Noted()


class Broken(msgspec.Struct, frozen=True, tag="broken"):
    """The work failed; `permanent` says that trying again can't help."""

    problem: Problem
    permanent: bool
    noted: Noted = Noted()


class Later(msgspec.Struct, frozen=True, tag="later"):
    """The processor has to wait for something: try again in `delay_s` seconds."""

    delay_s: float
    noted: Noted = Noted()


FromSupervisor = Run
FromChild = Ready | Advanced | Done | Broken | Later
Message = FromSupervisor | FromChild
M = TypeVar("M")

_encoder = msgspec.json.Encoder()
from_supervisor = msgspec.json.Decoder(FromSupervisor)
from_child: msgspec.json.Decoder[FromChild] = msgspec.json.Decoder(FromChild)


def frame(message: Message) -> bytes:
    content = _encoder.encode(message)
    return LENGTH.pack(len(content)) + content


async def read_message(reader: asyncio.StreamReader, decoder: msgspec.json.Decoder[M]) -> M | None:
    """The next message; None when the other side is gone.

    Raises:
        ValueError: what came is not a message (a child that was torn apart may leave anything behind).
    """
    try:
        (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
        if length > MAX_FRAME_BYTES:
            raise ValueError(f"a message of {length} bytes")
        content = await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    try:
        return decoder.decode(content)
    except msgspec.DecodeError as error:
        raise ValueError("not a message of ours") from error
