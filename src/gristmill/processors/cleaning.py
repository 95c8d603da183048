"""Cleaning texts and names: the steps `clean_text` and `rename_columns`. Neither needs a fit."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
import polars as pl
from msgspec import Meta

from gristmill.domain.column import Column
from gristmill.errors import Fault, InvalidRequest
from gristmill.processors.columns import Chosen, Family, exactly, resolve

_TEXT = frozenset({Family.TEXT})


class Case(StrEnum):
    LOWER = "lower"
    UPPER = "upper"
    TITLE = "title"


class CleanText(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="clean_text"):
    """Clean texts, in this order. Null columns: all columns of text. Categories stay as they are.

    `unicode`: normal form. `trim`: no white space at the ends. `collapse`: any run of white space becomes one space.
    `case`. `null_tokens`: texts that then are one of these become null. `date_format`: dates written so (as in
    `%d.%m.%Y`) become ISO 8601, other texts stay.
    """

    columns: Annotated[Chosen | None, Meta(description="Columns of text, by names or a pattern; null: all.")] = None
    unicode: Annotated[Literal["NFC", "NFKC"] | None, Meta(description="A normal form; null: as it is.")] = None
    trim: Annotated[bool, Meta(description="No white space at the ends.")] = False
    collapse: Annotated[bool, Meta(description="Any run of white space becomes one space.")] = False
    case: Annotated[Case | None, Meta(description="Letters in one case; null: as they are.")] = None
    null_tokens: Annotated[tuple[str, ...], Meta(max_length=1000, description="Texts that become null.")] = ()
    date_format: Annotated[
        Annotated[str, Meta(min_length=2, max_length=100)] | None,
        Meta(description="Dates written so, as in `%d.%m.%Y`, become ISO 8601."),
    ] = None


class RenameColumns(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="rename_columns"):
    """New names for all columns. `snake_case`: `Total (EUR)` and `totalEur` become `total_eur`.

    Letters keep their script, other signs become `_`; a name that is taken gets a number behind it.
    """

    style: Annotated[Literal["snake_case"], Meta(description="How names are written.")] = "snake_case"


class TextFitted(msgspec.Struct, frozen=True, tag="text_fitted"):
    """The step with its columns by name."""

    step: CleanText
    columns: tuple[str, ...]


class RenameFitted(msgspec.Struct, frozen=True, tag="rename_fitted"):
    """New names by old ones."""

    names: dict[str, str]


def plan_text(step: CleanText, columns: Sequence[Column], pointer: str) -> TextFitted:
    """Raises InvalidRequest for columns that are no text, for a step that does nothing, and a format that is none."""
    chosen = resolve(columns, step.columns, pointer=f"{pointer}/columns", families=_TEXT)
    texts = tuple(column.name for column in chosen if column.type == "String")
    if not texts:
        fault = Fault(f"{pointer}/columns", "The dataset has no such column of text.")
        raise InvalidRequest("There is nothing to clean.", errors=(fault,))
    if step == CleanText(columns=step.columns):
        raise InvalidRequest("There is nothing to do.", errors=(Fault(pointer, "Say what to clean."),))
    if step.date_format is not None and not _is_format(step.date_format):
        fault = Fault(f"{pointer}/date_format", "No date can be read in this format.")
        raise InvalidRequest("The format does not fit.", errors=(fault,))
    return TextFitted(step, texts)


def plan_names(columns: Sequence[Column]) -> RenameFitted:
    names: dict[str, str] = {}
    taken: set[str] = set()
    for column in columns:
        plain = snake_case(column.name)
        name, number = plain, 1
        while name in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name)
        names[column.name] = name
    return RenameFitted(names)


def ready_names(fitted: RenameFitted, columns: Sequence[Column], pointer: str) -> RenameFitted:
    """New names for other data. Raises InvalidRequest where a column is missing or two would have one name."""
    resolve(columns, list(fitted.names), pointer=f"{pointer}/columns", families=frozenset(Family))
    if len({column.name for column in after(fitted, columns)}) < len(columns):
        fault = Fault(f"{pointer}/columns", "Two columns would have one name.")
        raise InvalidRequest("The names do not fit.", errors=(fault,))
    return fitted


def after(fitted: RenameFitted, columns: Sequence[Column]) -> tuple[Column, ...]:
    """The dataset's columns once renamed."""
    return tuple(Column(fitted.names.get(column.name, column.name), column.type) for column in columns)


def snake_case(name: str) -> str:
    """`HTTPStatus code` becomes `http_status_code`; a name without letters or digits becomes `column`."""
    normal = unicodedata.normalize("NFKC", name)
    parted = re.sub(r"([^\W\d_])(?=[A-Z][a-z])", r"\1_", normal)
    parted = re.sub(r"([a-z0-9])(?=[A-Z])", r"\1_", parted)
    return re.sub(r"[\W_]+", "_", parted).strip("_").lower() or "column"


def apply_text(frame: pl.LazyFrame, fitted: TextFitted) -> pl.LazyFrame:
    return frame.with_columns(_cleaned(exactly(name), fitted.step).alias(name) for name in fitted.columns)


def apply_names(frame: pl.LazyFrame, names: Mapping[str, str]) -> pl.LazyFrame:
    return frame.rename(dict(names))


def _cleaned(text: pl.Expr, step: CleanText) -> pl.Expr:
    if step.unicode is not None:
        text = text.str.normalize(step.unicode)
    if step.trim:
        text = text.str.strip_chars()
    if step.collapse:
        text = text.str.replace_all(r"\s+", " ")
    match step.case:
        case Case.LOWER:
            text = text.str.to_lowercase()
        case Case.UPPER:
            text = text.str.to_uppercase()
        case Case.TITLE:
            text = text.str.to_titlecase()
    if step.null_tokens:
        tokens = pl.Series(step.null_tokens, dtype=pl.String).implode()
        text = pl.when(~text.is_in(tokens)).then(text)
    if step.date_format is not None:
        text = pl.coalesce(text.str.to_date(step.date_format, strict=False).dt.to_string("iso"), text)
    return text


def _is_format(pattern: str) -> bool:
    """Whether a date that is written in the format can be read by it."""
    day = pl.Series([19_000]).cast(pl.Date)
    try:
        return day.dt.to_string(pattern).str.to_date(pattern, strict=False).equals(day)
    except pl.exceptions.PolarsError:
        return False
