"""What the tables of a result are written as: Parquet, or a format for people and other programs.

In CSV a table begins with its names. Null is an empty cell and an empty text is `""`; times are in ISO 8601; NaN and
infinities are `NaN` and `inf`; lists and structs are JSON in a cell. In NDJSON, NaN and infinities are null, as JSON
has neither, and decimals are texts, so that no digit is lost.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import polars as pl
from msgspec import Meta
from polars import selectors as cs

from gristmill.domain.column import Column
from gristmill.domain.output import OutputFormat
from gristmill.errors import Fault, InvalidRequest
from gristmill.processors.columns import exactly

_NESTED = (pl.List, pl.Array, pl.Struct)
_TEXTS = (pl.String, pl.Categorical, pl.Enum)
# OWASP, "CSV Injection": what spreadsheets take for the beginning of a formula, the full-width signs included.
_FORMULA = r"\A(?:[\t\r\n]|[\s\x00]*[=+\-@\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}])"
GUARD = "'"


class RowsParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The params that every kind with rows has besides its own."""

    output_format: Annotated[
        OutputFormat, Meta(description="What the tables are written as; other jobs take Parquet alone as their data.")
    ] = OutputFormat.PARQUET
    formula_guard: Annotated[
        bool, Meta(description="For `csv`: put `'` before texts and names that spreadsheets would run as formulas.")
    ] = False


def check(params: msgspec.Struct, columns: Sequence[Column]) -> None:
    """Raises InvalidRequest for columns that the format can't hold, and for a guard where nothing is to be guarded."""
    if not isinstance(params, RowsParams):
        return
    form = params.output_format
    if params.formula_guard and form is not OutputFormat.CSV:
        fault = Fault("/params/formula_guard", "Only `csv` needs it.")
        raise InvalidRequest("The guard does not fit.", errors=(fault,))
    if form in (OutputFormat.CSV, OutputFormat.NDJSON) and any("Binary" in column.type for column in columns):
        fault = Fault("/params/output_format", "It can't hold a column of bytes.")
        raise InvalidRequest("The format does not fit.", errors=(fault,))


def shaped(frame: pl.LazyFrame, params: msgspec.Struct) -> pl.LazyFrame:
    """A table as its format needs it: for CSV, all in flat columns, and what looks like a formula guarded if asked."""
    if not isinstance(params, RowsParams) or params.output_format is not OutputFormat.CSV:
        return frame
    schema = frame.collect_schema()
    nested = [_json(name) for name, kind in schema.items() if isinstance(kind, _NESTED)]
    flat = frame.with_columns(cs.duration().dt.to_string("iso"), *nested)
    if not params.formula_guard:
        return flat
    texts = [
        _guarded(exactly(name).cast(pl.String)).alias(name) for name, kind in schema.items() if isinstance(kind, _TEXTS)
    ]
    return flat.with_columns(texts).rename(_safe(schema.names()))


def _json(name: str) -> pl.Expr:
    whole = pl.struct(exactly(name).alias("v")).struct.json_encode()
    value = whole.str.slice(len('{"v":'), whole.str.len_chars() - len('{"v":}'))
    return pl.when(exactly(name).is_not_null()).then(value).alias(name)


def _guarded(text: pl.Expr) -> pl.Expr:
    return pl.when(text.str.contains(_FORMULA)).then(pl.concat_str(pl.lit(GUARD), text)).otherwise(text)


def _safe(names: Sequence[str]) -> dict[str, str]:
    """Guarded names by their own; where another column has that name, one more sign goes before it."""
    guarded = pl.select(_guarded(pl.lit(pl.Series(names, dtype=pl.String)))).to_series().to_list()
    taken = set(names)
    safe: dict[str, str] = {}
    for name, wanted in zip(names, guarded, strict=True):
        while wanted != name and wanted in taken:
            wanted = GUARD + wanted  # noqa: PLW2901 (it is the name until it is free)
        taken.add(wanted)
        safe[name] = wanted
    return safe
