"""`datasets`: what was uploaded."""

from itertools import islice
from typing import Annotated

import typer

from gristmill.cli.connection import DEFAULT_URL, KeyFile, Url, connected
from gristmill.cli.jobs import Labels, Limit
from gristmill.cli.output import Json, write_json, write_table
from gristmill.shown.figures import ago, number, size


def datasets(
    *,
    status: Annotated[str | None, typer.Option(help="Only these: validating, ready or failed.")] = None,
    name: Annotated[str | None, typer.Option(help="Only of exactly this name.")] = None,
    label: Labels = None,
    limit: Limit = 20,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    api_key_file: KeyFile = None,
) -> None:
    """List datasets, newest first.

    \b
    Examples:
      gristmill datasets --status ready
      gristmill datasets --name strikes.csv --json | jq -r '.[0].id'
    """
    with connected(url, api_key_file) as client:
        found = client.datasets(status=status, name=name, labels=label or ())
        infos = [dataset.info for dataset in islice(found, limit)]
    if as_json:
        write_json(infos)
        return
    headings = ("dataset", "name", "status", "format", "size", "rows", "rejected", "created")
    rows = [
        (i.id, i.name, i.status, i.format, size(i.size_bytes), number(i.rows_loaded), number(i.rows_rejected),
         ago(i.created_at))
        for i in infos
    ]  # fmt: skip
    write_table(headings, rows, right=("size", "rows", "rejected"))
