"""`profile` and `run-local`: the same data plane on a file of this machine, without a server."""

import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gristmill.cli import given
from gristmill.cli.exits import Exit
from gristmill.cli.output import Json, err, fail, say, write_json, write_table
from gristmill.cli.results import Out, is_folder
from gristmill.cli.submit import Format
from gristmill.shown.figures import number

if TYPE_CHECKING:
    from gristmill.domain.job import Progress
    from gristmill.domain.manifest import StoredFile
    from gristmill.errors import GristmillError
    from gristmill.local import Local

ZEROS = re.compile(r"(:\d\d)\.0+$")
File = Annotated[Path, typer.Argument(help="The data.", exists=True, dir_okay=False, readable=True)]


def profile(file: File, *, data_format: Format = None, option: given.Option = None, as_json: Json = False) -> None:
    """Say what is in a file: how it is written, its columns, what is missing or odd. Nothing is sent anywhere.

    \b
    Examples:
      gristmill profile strikes.csv
      gristmill profile export.txt --format csv --option delimiter=';' --json
    """
    import msgspec

    options = given.pairs_of(option, "--option")
    with _refusals(), tempfile.TemporaryDirectory(prefix="gristmill-") as scratch:
        local = _read(file, data_format, options, Path(scratch), quiet=as_json)
    found = local.found
    document = {"columns": [], **msgspec.json.decode(found.profile)}
    columns: list[dict[str, Any]] = document.pop("columns")
    dialect = msgspec.json.decode(found.dialect)
    if as_json:
        counts = ("rows_read", "rows_loaded", "rows_rejected", "rows_repaired")
        told = {name: getattr(found, name) for name in counts}
        write_json({**told, "dialect": dialect, "warnings": found.warnings, "figures": document, "columns": columns})
        return
    read, loaded, rejected = number(found.rows_read), number(found.rows_loaded), number(found.rows_rejected)
    say(f"{read} rows read = {loaded} loaded + {rejected} rejected")
    for warning in found.warnings:
        say(f"note: {warning}")
    headings = ("column", "type", "missing", "distinct", "least", "most", "mean", "most frequent")
    write_table(headings, [_row(column) for column in columns], right=("missing", "distinct", "least", "most", "mean"))


def _row(column: dict[str, Any]) -> tuple[str, ...]:
    top = column.get("top_values") or [{}]
    frequent = top[0].get("value") if top else None
    return (
        column["name"],
        column["type"].partition("(")[0],
        number(column["nulls"]),
        _figure(column.get("distinct")),
        _figure(column.get("min", _stamp(column.get("earliest")))),
        _figure(column.get("max", _stamp(column.get("latest")))),
        _figure(column.get("mean")),
        "–" if frequent is None or column.get("unique") else _stamp(str(frequent)),
    )


def _stamp(text: Any) -> Any:
    """A moment without the zeros that its unit adds."""
    return ZEROS.sub(r"\1", text) if isinstance(text, str) else text


def _figure(value: Any) -> str:
    """A figure, or a labelled one, for people."""
    if isinstance(value, dict):
        value = value.get("value")
    return number(value) if value is None or isinstance(value, int | float) else str(value)


def run_local(
    file: File,
    *,
    kind: Annotated[str, typer.Option("--kind", "-k", help="What is to be done.")],
    param: given.Param = None,
    params: given.Params = None,
    data_format: Format = None,
    option: given.Option = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Do a job on a file here, without a server. The files are the same, to the last byte.

    Writes the report to standard output, or with -o the result to files. With --json: files, counts and report.
    Params that name other jobs or datasets are for a server.

    \b
    Examples:
      gristmill run-local strikes.csv --kind metrics
      gristmill run-local strikes.csv -k anomalies -p method=iqr -o anomalies.parquet
      gristmill run-local strikes.csv -k normalize --params @steps.json -o results/
    """
    import msgspec

    from gristmill.local import Folder, process

    options, wanted = given.pairs_of(option, "--option"), given.params_of(param, params)
    with _refusals(), tempfile.TemporaryDirectory(prefix="gristmill-") as scratch:
        local = _read(file, data_format, options, Path(scratch), quiet=as_json)
        output = Folder(Path(scratch) / "result")
        with _bars(quiet=as_json) as show:
            finished = process(kind, local, wanted, output=output, progress=lambda at: show(kind, at))
        files = _placed(output.files, out) if out is not None else []
    rows_in, rows_out, dropped = finished.rows_in, finished.rows_out, finished.rows_dropped
    say(f"{number(rows_in)} rows in = {number(rows_out)} out + {number(dropped)} dropped")
    if as_json:
        counts = {name: getattr(finished, name) for name in ("rows_in", "rows_out", "rows_dropped")}
        write_json({"files": files, **counts, "report": finished.report})
    elif out is None:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(finished.report), indent=2).decode() + "\n")


def _read(file: Path, data_format: str | None, options: dict[str, Any], scratch: Path, *, quiet: bool) -> "Local":
    from gristmill.local import read_file

    with _bars(quiet=quiet) as show:
        return read_file(
            file, told=data_format, options=options, scratch=scratch, progress=lambda at: show("ingest", at)
        )


@contextmanager
def _bars(*, quiet: bool) -> Iterator[Any]:
    """What shows progress by name; nothing where standard error is no terminal and JSON was asked for."""
    if quiet and not sys.stderr.isatty():
        yield lambda name, at: None
        return
    from gristmill.shown.board import Board

    with Board(err()) as board:
        seen: list[str] = []

        def show(name: str, at: "Progress") -> None:
            seen[:] = [name]
            board.show(name, at.stage, done=at.done, total=at.total, unit=at.unit)

        yield show
        for name in seen:
            board.finish(name, "done")


@contextmanager
def _refusals() -> Iterator[None]:
    """What does not fit is a line for each fault, and an exit code as if a server had said it."""
    from gristmill.errors import GristmillError, InvalidRequest, UnknownKind, UnsupportedFormat

    try:
        yield
    except (InvalidRequest, UnknownKind, UnsupportedFormat) as error:
        fail(_told(error), Exit.REFUSED)
    except GristmillError as error:
        fail(_told(error), Exit.FAILED)


def _told(error: "GristmillError") -> str:
    return error.detail + "".join(f"\n  {fault.pointer}: {fault.detail}" for fault in error.errors)


def _placed(files: "tuple[StoredFile, ...]", out: str) -> list[dict[str, Any]]:
    """Copy the files to where they are wanted: the main one to a file, or all of them into a folder."""
    import shutil

    chosen = files if is_folder(out) else ([file for file in files if file.rows is not None] or list(files))[:1]
    (Path(out) if is_folder(out) else Path(out).parent).mkdir(parents=True, exist_ok=True)
    placed = []
    for file in chosen:
        target = Path(out) / file.name if is_folder(out) else Path(out)
        partial = target.with_name(f"{target.name}.partial")
        shutil.copyfile(file.key, partial)
        partial.replace(target)
        say(f"wrote {target}")
        placed.append(
            {
                "name": file.name,
                "path": str(target),
                "media_type": file.media_type,
                "size_bytes": file.size_bytes,
                "sha256": file.sha256,
                "rows": file.rows,
            }
        )
    return placed
