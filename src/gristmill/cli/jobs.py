"""`jobs`, `cancel`, `retry`, `kinds`."""

import sys
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from gristmill.cli.connection import (
    DEFAULT_URL,
    JobId,
    KeyFile,
    Url,
    connected,
    dataset_words,
    kind_words,
)
from gristmill.cli.exits import Exit
from gristmill.cli.following import Following
from gristmill.cli.output import Json, printable, say, write_json, write_table
from gristmill.shown.figures import ago, seconds

if TYPE_CHECKING:
    from gristmill.client import JobInfo

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="So many at most.")]
Labels = Annotated[list[str] | None, typer.Option("--label", metavar="NAME[:VALUE]", help="Only with this label.")]


def jobs(
    *,
    status: Annotated[
        str | None, typer.Option(help="Only these: pending, running, completed, failed or canceled.")
    ] = None,
    kind: Annotated[str | None, typer.Option("--kind", "-k", help="Only this.", autocompletion=kind_words)] = None,
    dataset: Annotated[str | None, typer.Option(help="Only on this dataset.", autocompletion=dataset_words)] = None,
    label: Labels = None,
    limit: Limit = 20,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    api_key_file: KeyFile = None,
) -> None:
    """List jobs, newest first.

    \b
    Examples:
      gristmill jobs --status running
      gristmill jobs --kind metrics -n 500 --json | jq -r '.[].id'
    """
    with connected(url, api_key_file) as client:
        found = client.jobs(status=status, kind=kind, dataset=dataset, labels=label or ())
        infos = [job.info for job in islice(found, limit)]
    if as_json:
        write_json(infos)
        return
    headings = ("job", "kind", "status", "progress", "attempt", "created", "took")
    rows = [(i.id, i.kind, i.status, progress(i), i.attempt, ago(i.created_at), seconds(i.seconds)) for i in infos]
    write_table(headings, rows, right=("attempt", "took"))


def progress(job: "JobInfo") -> str:
    """How far a job is: `fit 40 %, 12 s left`."""
    at = job.progress
    if job.final or at is None:
        return "–"
    share = f" {at.done / at.total:.0%}" if at.total else ""
    left = f", {seconds(at.seconds_left)} left" if at.seconds_left else ""
    return f"{at.stage}{share}{left}"


def cancel(
    job: JobId,
    *,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait until it has ended.")] = False,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    api_key_file: KeyFile = None,
) -> None:
    """Cancel a job.

    \b
    Example:
      gristmill cancel 01a2… --wait
    """
    with connected(url, api_key_file) as client:
        known = client.job(job).cancel()
        if wait:
            with Following(quiet=as_json and not sys.stderr.isatty()) as shown:
                shown.wait(known, timeout_s=None)
    write_json(known.info) if as_json else say(_canceled(known.info))
    if wait and known.status != "canceled":
        raise typer.Exit(Exit.FAILED)


def _canceled(job: "JobInfo") -> str:
    return f"{job.id} is {job.status}" if job.final else f"{job.id} is being canceled"


def retry(job: JobId, *, as_json: Json = False, url: Url = DEFAULT_URL, api_key_file: KeyFile = None) -> None:
    """Run a failed or canceled job again.

    \b
    Example:
      gristmill retry 01a2… && gristmill watch 01a2…
    """
    with connected(url, api_key_file) as client:
        known = client.job(job).retry()
    write_json(known.info) if as_json else say(f"{known.id} is {known.status}")


def kinds(
    kind: Annotated[str | None, typer.Argument(help="Tell all of this one.", autocompletion=kind_words)] = None,
    *,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    api_key_file: KeyFile = None,
) -> None:
    """List the kinds of jobs there are, or tell all of one: what it does, its params, an example.

    \b
    Examples:
      gristmill kinds
      gristmill kinds anomalies
    """
    import msgspec

    with connected(url, api_key_file) as client:
        found = [known for known in client.kinds() if kind in (None, known.kind)]
    if not found:
        raise typer.BadParameter("there is no such kind", param_hint="KIND")
    if as_json:
        write_json(found if kind is None else found[0])
    elif kind is None:
        write_table(("kind", "does"), [(known.kind, known.description.partition("\n")[0]) for known in found])
    else:
        example = msgspec.json.format(msgspec.json.encode(found[0].example), indent=2).decode()
        properties = found[0].params_schema.get("properties", {})
        sys.stdout.write(printable(f"{found[0].description}\n\nParams that work:\n\n{example}\n\n"))
        write_table(("param", "is"), [(name, of.get("description", "")) for name, of in properties.items()])
