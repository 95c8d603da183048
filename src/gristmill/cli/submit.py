"""`submit` and `watch`: a file on its way to a result."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gristmill.cli import given
from gristmill.cli.connection import (
    DEFAULT_URL,
    JobId,
    KeyFile,
    Url,
    connected,
    dataset_words,
    job_words,
    kind_words,
)
from gristmill.cli.exits import Exit, exit_of_status
from gristmill.cli.following import Following, say_notes, say_why
from gristmill.cli.output import Json, say, write_json
from gristmill.cli.plots import Plot, draw
from gristmill.cli.results import Out, save, say_wrote

if TYPE_CHECKING:
    from gristmill.client import Client, Dataset, Job

Kind = Annotated[str, typer.Option("--kind", "-k", help="What is to be done.", autocompletion=kind_words)]
Format = Annotated[
    str | None, typer.Option("--format", help="csv, tsv, ndjson, json, parquet, arrow or xlsx. Default: by the name.")
]
STDIN = Path("-")


def _checked(file: Path | None) -> Path | None:
    if file is not None and file != STDIN and not file.is_file():
        raise typer.BadParameter(f"there is no file {file}")
    return file


Timeout = Annotated[float | None, typer.Option(min=0, help="Seconds to wait; the job goes on after that.")]


def submit(
    *,
    file: Annotated[Path | None, typer.Argument(help="The data; - is standard input.", callback=_checked)] = None,
    kind: Kind,
    dataset: Annotated[
        str | None, typer.Option(help="A dataset that is there already.", autocompletion=dataset_words)
    ] = None,
    input_job: Annotated[
        str | None, typer.Option(help="A job whose rows are the data.", autocompletion=job_words)
    ] = None,
    param: given.Param = None,
    params: given.Params = None,
    name: Annotated[str | None, typer.Option(help="The dataset's name. Default: the file's.")] = None,
    data_format: Format = None,
    option: given.Option = None,
    label: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A label of the job.")] = None,
    priority: Annotated[int | None, typer.Option(min=-100, max=100, help="Higher goes first.")] = None,
    reuse: Annotated[bool, typer.Option(help="Take the result of an identical job, if there is one.")] = True,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait for the end, with progress.")] = False,
    timeout: Timeout = None,
    out: Out = None,
    plot: Plot = False,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    api_key_file: KeyFile = None,
) -> None:
    """Send a file and submit a job on it.

    Writes the job's id, or the job with --json. With --wait Ctrl-C cancels the
    job and waits for its end; a second Ctrl-C leaves at once. With -o it waits
    too, and fetches the result; with --plot it draws the anomalies.

    \b
    Examples:
      gristmill submit strikes.csv --kind metrics --wait
      gristmill submit strikes.csv -k anomalies -p method=iqr -p 'columns=["speed"]' -o anomalies.parquet
      zcat log.gz | gristmill submit - -k metrics --format ndjson
      gristmill submit strikes.csv -k anomalies -p method=iqr --plot
      gristmill submit --dataset 01a2… -k normalize --params @steps.json
    """
    if sum(thing is not None for thing in (file, dataset, input_job)) != 1:
        raise typer.BadParameter("give a FILE, a --dataset or an --input-job, and only one of them")
    all_params, labels = given.params_of(param, params), given.labels_of(label)
    options = given.pairs_of(option, "--option")
    waiting = wait or plot or out is not None
    with connected(url, api_key_file, patient=True) as client:
        with Following(quiet=as_json and not sys.stderr.isatty()) as shown:
            source: Dataset | str | None = dataset
            if file is not None:
                source = _sent(client, shown, file, name=name, data_format=data_format, options=options)
            job = client.submit(
                kind,
                source,
                all_params,
                input_job=input_job,
                labels=labels,
                priority=priority,
                reuse=None if reuse else "none",
            )
            code = _to_the_end(shown, job, source, timeout_s=timeout) if waiting else None
            paths = save(shown, job.result(), out) if code == Exit.OK and out is not None else []
        say_wrote(paths)
        _tell(job, as_json=as_json)
        if code is None:
            say(f"Submitted; to watch it: gristmill watch {job.id}")
            return
        say_notes(source)
        say_why(job.info)
        if plot and code == Exit.OK and not as_json:
            draw(client, job, job.result())
    raise typer.Exit(code)


def watch(
    job: JobId,
    *,
    events: Annotated[bool, typer.Option("--events", help="Write each event as it happens, not a bar.")] = False,
    timeout: Timeout = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    api_key_file: KeyFile = None,
) -> None:
    """Follow a job to its end. Ctrl-C stops watching; the job goes on.

    With --events --json each event is a line of JSON.

    \b
    Examples:
      gristmill watch 01a2…
      gristmill watch 01a2… --events --json | jq .type
    """
    with connected(url, api_key_file, patient=True) as client:
        known = client.job(job)
        if events:
            for event in known.events():
                write_json(event) if as_json else print(f"{event.at:%H:%M:%S}  {event.type}", flush=True)  # noqa: T201
            known.refresh()
        else:
            with Following(quiet=as_json and not sys.stderr.isatty()) as shown:
                shown.wait(known, timeout_s=timeout)
            _tell(known, as_json=as_json)
        say_why(known.info)
        raise typer.Exit(exit_of_status(known.status))


def _sent(
    client: "Client", shown: Following, file: Path, *, name: str | None, data_format: str | None, options: object
) -> "Dataset":
    piped = file == STDIN
    total = None if piped else file.stat().st_size
    shown.bytes("upload", "sending", 0, total)
    dataset = client.upload(
        sys.stdin.buffer if piped else file,
        name=name or ("stdin" if piped else None),
        format=data_format,  # type: ignore[arg-type] # what is no format is the server's to refuse, by name
        options=options,  # type: ignore[arg-type]
        on_sent=lambda sent: shown.bytes("upload", "sending", sent, total),
    )
    shown.done("upload", f"{dataset.info.size_bytes:,} bytes sent")
    return dataset


def _to_the_end(shown: Following, job: "Job", source: "Dataset | str | None", *, timeout_s: float | None) -> Exit:
    """Wait for a job. The first Ctrl-C asks for its end and waits for that; the second waits for nothing."""
    began = time.monotonic()
    try:
        if source is not None and not isinstance(source, str):
            shown.ingest(source, timeout_s=timeout_s)
        left_s = None if timeout_s is None else max(0.0, timeout_s - (time.monotonic() - began))
        shown.wait(job, timeout_s=left_s)
    except KeyboardInterrupt:
        return _canceled(shown, job)
    except TimeoutError as error:
        say(f"gristmill: {error}")
        return Exit.TIMED_OUT
    return exit_of_status(job.status)


def _canceled(shown: Following, job: "Job") -> Exit:
    from gristmill.client.errors import Conflict

    say("Canceling the job; Ctrl-C again leaves at once")
    try:
        try:
            job.cancel()
        except Conflict:
            job.refresh()  # it was faster
        shown.wait(job, timeout_s=None)
    except KeyboardInterrupt:
        say(f"Left; to see how it ends: gristmill watch {job.id}")
        return Exit.INTERRUPTED
    return Exit.INTERRUPTED if job.status == "canceled" else exit_of_status(job.status)


def _tell(job: "Job", *, as_json: bool) -> None:
    if as_json:
        write_json(job.info)
    else:
        sys.stdout.write(f"{job.id}\n")
        sys.stdout.flush()
