"""`result`: what a job made."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gristmill.cli.connection import DEFAULT_URL, JobId, KeyFile, Url, connected
from gristmill.cli.following import Following
from gristmill.cli.output import Json, say, write_json, write_table
from gristmill.cli.plots import Plot, draw
from gristmill.shown.figures import number, size

if TYPE_CHECKING:
    from gristmill.client import Result

# A text: a path forgets the / at its end.
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        help="Where the result goes: the main file to a file; all files into a folder, that is there or ends in /.",
    ),
]


def result(
    job: JobId,
    *,
    out: Out = None,
    report: Annotated[bool, typer.Option("--report", help="Write the report, as JSON.")] = False,
    plot: Plot = False,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    api_key_file: KeyFile = None,
) -> None:
    """Fetch a job's result. What is fetched is checked against its SHA-256.

    Without -o: which files there are.

    \b
    Examples:
      gristmill result 01a2… -o anomalies.parquet
      gristmill result 01a2… -o results/
      gristmill result 01a2… --report | jq .rows_flagged
      gristmill result 01a2… --plot
    """
    with connected(url, api_key_file, patient=True) as client:
        known = client.job(job)
        found = known.result()
        if out is not None:
            with Following(quiet=as_json and not sys.stderr.isatty()) as shown:
                paths = save(shown, found, out)
            say_wrote(paths)
        if report:
            write_json(found.report())
        elif as_json:
            write_json(found.info)
        elif plot:
            draw(client, known, found)
        elif out is None:
            rows = [(file.name, number(file.rows), size(file.size_bytes), file.sha256) for file in found.files]
            write_table(("file", "rows", "size", "sha256"), rows, right=("rows", "size"))


def save(shown: Following, result: "Result", out: str) -> list[Path]:
    """Fetch the main file, or all of them into a folder."""
    folder = is_folder(out)
    total = sum(file.size_bytes for file in result.files) if folder else result.info.main.size_bytes

    def received(count: int) -> None:
        shown.bytes("download", "fetching", count, total)

    if folder:
        paths = result.download_all(out, on_received=received)
    else:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        paths = [result.download(out, on_received=received)]
        _note_format(Path(out), result.info.main.name)
    shown.done("download", f"{size(total)} checked")
    return paths


def _note_format(path: Path, made: str) -> None:
    """Say so where a name promises another format: a job makes Parquet unless its params say otherwise."""
    if path.suffix and path.suffix != Path(made).suffix:
        say(f"note: {path} has the bytes of {made}; where a kind has the param, -p output_format=csv makes CSV")


def say_wrote(paths: list[Path]) -> None:
    for path in paths:
        say(f"wrote {path}")


def is_folder(out: str) -> bool:
    return Path(out).is_dir() or out.endswith("/")
