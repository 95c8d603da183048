"""A page of a table in the type that the client asks for: JSON, NDJSON, CSV or an Arrow stream. Blocking."""

import io
import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any

import msgspec
import polars as pl

from gristmill.api.cells import cells, csv_column, guarded
from gristmill.errors import NotAcceptable

BLOCK_CELLS = 50_000

_QUALITY = re.compile(r"q\s*=\s*(1(?:\.0{0,3})?|0(?:\.\d{0,3})?)", re.IGNORECASE)
_QUOTED = re.compile(r'[",\r\n]|^$|^\s|\s$')


class TableType(StrEnum):
    """The media types of a page, the one that is taken without a wish first."""

    JSON = "application/json"
    NDJSON = "application/x-ndjson"
    CSV = "text/csv"
    ARROW = "application/vnd.apache.arrow.stream"


def wanted_type(accept: str | None) -> TableType:
    """What `Accept` likes best (RFC 9110, 12.5.1); among equals the first of ours.

    Raises:
        NotAcceptable: it takes none of ours.
    """
    ranges = [_range(part) for part in (accept or "*/*").split(",") if part.strip()]
    liked = {kind: _liking(kind, ranges) for kind in TableType}
    best = max(TableType, key=lambda kind: liked[kind])
    if liked[best] <= 0:
        raise NotAcceptable(f"Accept must take one of {', '.join(TableType)}.")
    return best


def encoded(frame: pl.DataFrame, kind: TableType, *, guard: bool = False) -> bytes:
    """The rows as NDJSON (one object a line), CSV (RFC 4180, a header, null is empty and "" is `""`) or Arrow."""
    match kind:
        case TableType.CSV:
            return _csv(frame, guard=guard)
        case TableType.ARROW:
            sink = io.BytesIO()
            # Without string views, which many readers of Arrow do not know yet.
            frame.write_ipc_stream(sink, compat_level=pl.CompatLevel.oldest())
            return sink.getvalue()
        case _:
            names = frame.columns
            return b"".join(b"%s\n" % msgspec.json.encode(dict(zip(names, row, strict=True))) for row in _rows(frame))


def json_rows(frame: pl.DataFrame) -> tuple[msgspec.Raw, ...]:
    """Each row as a JSON array, with values as `cells` has them."""
    return tuple(msgspec.Raw(msgspec.json.encode(row)) for row in _rows(frame))


def _rows(frame: pl.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Some rows at a time: as objects of Python they take many times their room, and making them stops the loop."""
    for block in frame.iter_slices(max(1, BLOCK_CELLS // max(1, frame.width))):
        yield from zip(*(cells(column) for column in block.iter_columns()), strict=True)


def _csv(frame: pl.DataFrame, *, guard: bool) -> bytes:
    columns = [csv_column(column, guard=guard) for column in frame.iter_columns()]
    if len(columns) == 1:
        # A null alone would be an empty line, and readers skip those.
        columns = [columns[0].cast(pl.String).fill_null("")]
    names = [guarded(name) if guard else name for name in frame.columns]
    header = ",".join(f'"{name.replace(chr(34), chr(34) * 2)}"' if _QUOTED.search(name) else name for name in names)
    numbered = pl.DataFrame([column.alias(str(place)) for place, column in enumerate(columns)])
    return f"{header}\r\n".encode() + numbered.write_csv(include_header=False, line_terminator="\r\n").encode()


def _range(part: str) -> tuple[str, float]:
    name, *parameters = part.split(";")
    found = [match for parameter in parameters if (match := _QUALITY.fullmatch(parameter.strip()))]
    return name.strip().lower(), float(found[0][1]) if found else 1.0


def _liking(kind: TableType, ranges: Sequence[tuple[str, float]]) -> float:
    """The quality of the most specific range that takes the type; 0 where none does."""
    for taken in (kind.value, f"{kind.partition('/')[0]}/*", "*/*"):
        given = [quality for name, quality in ranges if name == taken]
        if given:
            return max(given)
    return 0.0
