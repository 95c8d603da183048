"""Which server, and with which key. A key is never an argument: those are seen by everybody on a machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gristmill.cli.exits import Exit, exit_of_error
from gristmill.cli.output import fail, say

if TYPE_CHECKING:
    from gristmill.client import Client

PANEL = "Server"
DEFAULT_URL = "http://127.0.0.1:8000"
KEY_VARIABLE = "GRISTMILL_API_KEY"
QUICK_S = 1.0


def _checked(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter("it begins with http:// or https://")
    return url


Url = Annotated[
    str, typer.Option("--url", envvar="GRISTMILL_URL", help="The server.", rich_help_panel=PANEL, callback=_checked)
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--api-key-file",
        help=f"A file with the API key. Default: the variable {KEY_VARIABLE}.",
        exists=True,
        dir_okay=False,
        rich_help_panel=PANEL,
    ),
]


def key_of(file: Path | None) -> str | None:
    if file is not None:
        return file.read_text("utf-8").strip()
    return os.environ.get(KEY_VARIABLE) or None


@contextmanager
def connected(url: str, key_file: Path | None, *, patient: bool = False) -> Iterator["Client"]:
    """A client. What it raises in the block becomes a line and an exit code. `patient`: a restart of the server is
    waited for; else who looks is told soon.
    """
    from gristmill.client import Client, Retry

    retry = Retry(attempts=7) if patient else Retry(attempts=3, base_s=0.2)
    with errors_told(), Client(url, api_key=key_of(key_file), retry=retry) as client:
        yield client


@contextmanager
def errors_told() -> Iterator[None]:
    """What a client raises in the block becomes a line and an exit code."""
    import httpx

    from gristmill.client import ClientError

    try:
        yield
    except ClientError as error:
        fail(str(error), exit_of_error(error))
    except httpx.InvalidURL as error:
        fail(f"--url: {error}", Exit.USAGE)


def completions(of: str, incomplete: str) -> list[tuple[str, str]]:
    """Words for the shell, with what they mean: kinds, jobs or datasets of the server; none if it is not there."""
    from itertools import islice

    from gristmill.client import Client, ClientError, Retry

    try:
        url = os.environ.get("GRISTMILL_URL") or DEFAULT_URL
        with Client(url, api_key=key_of(None), timeout_s=QUICK_S, retry=Retry(attempts=1)) as client:
            match of:
                case "kinds":
                    found = [(kind.kind, kind.description.partition("\n")[0]) for kind in client.kinds()]
                case "jobs":
                    found = [(job.id, f"{job.kind} {job.status}") for job in islice(client.jobs(), 50)]
                case _:
                    found = [(dataset.id, dataset.name) for dataset in islice(client.datasets(), 50)]
    except ClientError:
        return []
    return [(word, meaning) for word, meaning in found if word.startswith(incomplete)]


def kind_words(incomplete: str) -> list[tuple[str, str]]:
    return completions("kinds", incomplete)


def job_words(incomplete: str) -> list[tuple[str, str]]:
    return completions("jobs", incomplete)


def dataset_words(incomplete: str) -> list[tuple[str, str]]:
    return completions("datasets", incomplete)


JobId = Annotated[str, typer.Argument(metavar="JOB", help="The id of a job.", autocompletion=job_words)]

__all__ = [
    "DEFAULT_URL",
    "JobId",
    "KeyFile",
    "Url",
    "connected",
    "dataset_words",
    "errors_told",
    "key_of",
    "kind_words",
    "say",
]
