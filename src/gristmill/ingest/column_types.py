"""Which type a text column has, decided over all its cells: a kind dies with the first cell that does not fit it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import polars as pl

from gristmill.ingest.invisible import AROUND

# A leading zero or plus sign says identifier (postcode, telephone), not number; 007.5 and 01.10 too.
IDENTIFIER_LIKE: Final = r"^[+-]?0[0-9]|^\+[0-9]+$"
LONG_INTEGER: Final = r"^[+-]?[0-9]{16,}$"
EXACT_DIGITS: Final = 15
EXACT_INTEGERS: Final = 2.0**53
DAY: Final = r"^\d{4}-\d{2}-\d{2}$"
MOMENT: Final = r"^\d{4}-\d{2}-\d{2}[T ][0-2]\d:[0-5]\d(:[0-5]\d(\.\d{1,6})?)?"
ZONE: Final = r"([Zz]|[+-]\d{2}:?\d{2})$"
PROBE_CELLS: Final = 64


@dataclass(frozen=True, slots=True)
class Kind:
    """A type a text may have: how it is cast, which castable texts it must not take, in the order it is preferred.

    `suspect(cell, cast)` is a cheap condition that holds wherever `refused(cell)` does, which then decides.
    """

    name: str
    cast: Callable[[pl.Expr], pl.Expr]
    suspect: Callable[[pl.Expr, pl.Expr], pl.Expr]
    refused: Callable[[pl.Expr], pl.Expr]


def _signs(cell: pl.Expr, _: pl.Expr) -> pl.Expr:
    zero = cell.str.starts_with("0") & ~cell.str.starts_with("0.") & (cell.str.len_bytes() > 1)
    return zero | (cell.str.starts_with("-0") & ~cell.str.starts_with("-0.")) | cell.str.starts_with("+")


def _float_refused(cell: pl.Expr) -> pl.Expr:
    number = cell.cast(pl.Float64, strict=False)
    overflow = number.is_infinite() & cell.str.contains("[0-9]")
    inexact = cell.str.contains(LONG_INTEGER) & (number.abs() >= EXACT_INTEGERS)
    return cell.str.contains(IDENTIFIER_LIKE) | overflow | inexact


def _float_suspect(cell: pl.Expr, value: pl.Expr) -> pl.Expr:
    long = (cell.str.len_bytes() > EXACT_DIGITS) & ~cell.str.contains(".", literal=True)
    return _signs(cell, value) | long | value.is_infinite()


def _day(cell: pl.Expr) -> pl.Expr:
    return cell.str.to_date("%Y-%m-%d", strict=False)


def _moment(cell: pl.Expr) -> pl.Expr:
    spaced = cell.str.replace("T", " ", literal=True)
    seconds = spaced.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    return pl.coalesce(seconds, spaced.str.to_datetime("%Y-%m-%d %H:%M", time_unit="us", strict=False))


def _zoned(cell: pl.Expr) -> pl.Expr:
    spaced = cell.str.replace("T", " ", literal=True)
    formats = ("%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M%#z")
    return pl.coalesce(
        *(spaced.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False) for form in formats)
    )


def _truth(cell: pl.Expr) -> pl.Expr:
    lower = cell.str.to_lowercase()
    return pl.when(lower == "true").then(True).when(lower == "false").then(False)  # noqa: FBT003 - values, not flags


def _not(pattern: str) -> Callable[[pl.Expr], pl.Expr]:
    return lambda cell: ~cell.str.contains(pattern)


def _unlike(pattern: str) -> Callable[[pl.Expr, pl.Expr], pl.Expr]:
    return lambda cell, _: ~cell.str.contains(pattern)


INTEGER = Kind(
    "integer",
    lambda cell: cell.cast(pl.Int64, strict=False),
    _signs,
    lambda cell: cell.str.contains(IDENTIFIER_LIKE + r"|^-0$"),
)
FLOAT = Kind("float", lambda cell: cell.cast(pl.Float64, strict=False), _float_suspect, _float_refused)
DATE = Kind("date", _day, _unlike(DAY), _not(DAY))
DATETIME = Kind("datetime", _moment, _unlike(MOMENT + "$"), _not(MOMENT + "$"))
ZONED = Kind("datetime with zone", _zoned, _unlike(MOMENT + ZONE), _not(MOMENT + ZONE))
BOOLEAN = Kind("truth value", _truth, lambda cell, _: cell != cell, lambda cell: cell != cell)  # noqa: PLR0124 - never
KINDS: Final = (INTEGER, FLOAT, DATE, DATETIME, ZONED, BOOLEAN)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a column becomes: an expression of its text, and a warning where there is one to give.

    `nulls` is how many cells were empty or null tokens (None where a token of the user's also reads as a value): no
    other cell may be null once it is cast.
    """

    kind: Kind | None
    expression: Callable[[pl.Expr], pl.Expr]
    nulls: int | None
    warning: str | None = None


AS_TEXT: Final = Decision(None, lambda cell: cell, None)


@dataclass(slots=True)
class _Evidence:
    """What is known of one column so far."""

    alive: list[Kind]
    rows: int = 0
    cells: int = 0
    tokens: int = 0
    padded: bool = False
    finite: bool = False
    numbers: int = 0
    counting: bool = True
    too_big: bool = False


class ColumnTypes:
    """Sees every row once, in frames of text columns, and then decides each column's type."""

    def __init__(self, width: int, null_tokens: Iterable[str]) -> None:
        self._tokens = [token for token in null_tokens if token]
        self._columns = [_Evidence(list(KINDS)) for _ in range(width)]

    def observe(self, frame: pl.DataFrame) -> None:
        """Test the living kinds of each column on a frame; the first that fits all cells speaks for the block."""
        guesses = self._first_guesses(frame)
        counts = _cheap_counts(frame, guesses)
        for place, evidence in enumerate(self._columns):
            series = frame.get_column(str(place))
            evidence.rows += frame.height
            found = counts.get(str(place))
            if found is not None and found["misfits"] == 0:
                self._all_fit(evidence, series, found["cells"], longest=found["longest"] or 0)
            elif evidence.alive or evidence.counting:
                self._weigh(evidence, series.drop_nulls())
            else:
                evidence.cells += series.count()

    def _first_guesses(self, frame: pl.DataFrame) -> list[tuple[str, Kind]]:
        """The preferred living kind of each column, once a few of its cells have thinned the kinds out."""
        guesses = []
        for place, evidence in enumerate(self._columns):
            if len(evidence.alive) > 1:
                probe = frame.get_column(str(place)).head(4 * PROBE_CELLS).drop_nulls().head(PROBE_CELLS)
                self._thin_out(evidence, probe)
            if evidence.alive:
                guesses.append((str(place), evidence.alive[0]))
        return guesses

    def _thin_out(self, evidence: _Evidence, probe: pl.Series) -> None:
        stripped = probe.str.strip_chars(AROUND)
        for kind in list(evidence.alive):
            self._test(evidence, kind, stripped)

    def _all_fit(self, evidence: _Evidence, series: pl.Series, cells: int, *, longest: int) -> None:
        first = evidence.alive[0]
        if first is INTEGER and longest > EXACT_DIGITS and FLOAT in evidence.alive:
            self._test(evidence, FLOAT, series.drop_nulls())
        evidence.cells += cells
        if first in (INTEGER, FLOAT):
            evidence.numbers += cells
            evidence.finite = evidence.finite or _any_finite(series)
        if cells:
            keep = (INTEGER, FLOAT) if first is INTEGER else (first,)
            evidence.alive = [kind for kind in evidence.alive if kind in keep]

    def _weigh(self, evidence: _Evidence, cells: pl.Series) -> None:
        """The exact way: white space around values is allowed, null tokens are no values."""
        evidence.cells += len(cells)
        stripped = cells.str.strip_chars(AROUND)
        for kind in list(evidence.alive):
            self._test(evidence, kind, stripped)
        tokens = int((stripped.is_in(self._tokens) | (stripped == "")).sum())
        if evidence.alive:
            evidence.padded = evidence.padded or bool((stripped != cells).any())
            evidence.tokens += tokens
        if evidence.counting:
            misfits = 0 if FLOAT in evidence.alive else len(self._misfits(FLOAT, stripped))
            evidence.numbers += len(cells) - tokens - misfits
            evidence.counting = evidence.numbers * 2 >= evidence.cells
        if FLOAT in evidence.alive:
            evidence.finite = evidence.finite or _any_finite(stripped)

    def _misfits(self, kind: Kind, stripped: pl.Series) -> pl.Series:
        cell = pl.col("cell")
        return (
            stripped.alias("cell")
            .to_frame()
            .with_columns(kind.cast(cell).alias("cast"))
            .filter(pl.col("cast").is_null() | kind.suspect(cell, pl.col("cast")))
            .filter((cell != "") & ~cell.is_in(self._tokens))
            .filter(pl.col("cast").is_null() | kind.refused(cell))
            .get_column("cell")
        )

    def _test(self, evidence: _Evidence, kind: Kind, stripped: pl.Series) -> None:
        misfits = self._misfits(kind, stripped)
        if len(misfits):
            evidence.alive.remove(kind)
            if kind is FLOAT:
                evidence.too_big = bool(misfits.str.contains(LONG_INTEGER).all())

    def decide(self) -> list[Decision]:
        """The type of each column. A column without any value, or of infinities and NaN alone, stays text."""
        return [self._decision(place, evidence) for place, evidence in enumerate(self._columns, start=1)]

    def _decision(self, place: int, evidence: _Evidence) -> Decision:
        values = evidence.cells - evidence.tokens
        kind = evidence.alive[0] if evidence.alive and values else None
        if kind is FLOAT and not evidence.finite:
            kind = None
        nulls = evidence.rows - evidence.cells
        if kind is None:
            return Decision(None, lambda cell: cell, nulls, self._text_warning(place, evidence))
        readable = [token for token in self._tokens if _reads(kind, token)]
        expression = _typed(kind, readable, padded=evidence.padded)
        return Decision(kind, expression, None if readable else nulls + evidence.tokens)

    @staticmethod
    def _text_warning(place: int, evidence: _Evidence) -> str | None:
        if evidence.too_big:
            return f"column {place}: it has integers too big for an exact number; it is kept as text"
        share = evidence.numbers / evidence.cells if evidence.cells else 0.0
        if evidence.counting and 0.5 <= share < 1.0:
            return f"column {place}: {_percent(share)} % of cells are numbers; it is kept as text"
        return None


def _percent(share: float) -> str:
    """One decimal, and never 100.0 for less than all."""
    return f"{min(share * 100, 99.9):.1f}"


def _any_finite(cells: pl.Series) -> bool:
    return bool(cells.cast(pl.Float64, strict=False).is_finite().any())


def _cheap_counts(frame: pl.DataFrame, guesses: list[tuple[str, Kind]]) -> dict[str, dict[str, int]]:
    """Of each column: its cells, the longest's bytes, and how many may not be of the kind."""
    if not guesses:
        return {}
    values = frame.with_columns(kind.cast(pl.col(name)).alias(f"{name} cast") for name, kind in guesses)
    counted = values.select(
        pl.struct(
            cells=pl.col(name).count(),
            longest=pl.col(name).str.len_bytes().max(),
            misfits=(
                pl.col(name).count()
                - pl.col(f"{name} cast").count()
                + kind.suspect(pl.col(name), pl.col(f"{name} cast")).sum()
            ),
        ).alias(name)
        for name, kind in guesses
    )
    return counted.row(0, named=True)


def _reads(kind: Kind, token: str) -> bool:
    """Whether a null token would also be read as a value, as -999 or NaN would."""
    return pl.select(kind.cast(pl.lit(token))).item() is not None


def _typed(kind: Kind, readable_tokens: list[str], *, padded: bool) -> Callable[[pl.Expr], pl.Expr]:
    def expression(cell: pl.Expr) -> pl.Expr:
        stripped = cell.str.strip_chars(AROUND) if padded else cell
        value = kind.cast(stripped)
        return pl.when(~stripped.is_in(readable_tokens)).then(value) if readable_tokens else value

    return expression
