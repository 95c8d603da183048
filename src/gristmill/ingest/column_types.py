"""Which type a text column has, decided over all its cells: a kind dies with the first cell that does not fit it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import polars as pl

from gristmill.ingest import dates, moments, numerals
from gristmill.ingest.evidence import Evidence
from gristmill.ingest.invisible import AROUND
from gristmill.ingest.kinds import (
    DATE,
    DATETIME,
    EXACT_DIGITS,
    FLOAT,
    INTEGER,
    LONG_INTEGER,
    WORDS,
    ZONED,
    Kind,
    truth,
)
from gristmill.ingest.numerals import COMMA, POINT
from gristmill.ingest.options import FALSE_VALUES, TRUE_VALUES, IngestOptions

PROBE_ROWS: Final = 256
PLAIN: Final = frozenset({INTEGER, FLOAT, DATE, DATETIME, ZONED})
# What may live on beside a kind that fits a whole block. What a plain number fits, POINT fits too.
BESIDE: Final = {
    INTEGER: (FLOAT, POINT, COMMA),
    FLOAT: (POINT, COMMA),
    POINT: (COMMA,),
    **moments.BESIDE,
    **dates.RIVALS,
}
DECIMALS: Final = r"\.|\d[eE][+-]?\d|(?i:nan|inf)"


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

    @property
    def read_as(self) -> str | None:
        """How the cells are written, where that is not the plain way."""
        return None if self.kind is None or self.kind in PLAIN else self.kind.name


AS_TEXT: Final = Decision(None, lambda cell: cell, None)


class ColumnTypes:
    """Sees every row once, in frames of text columns, and then decides each column's type."""

    def __init__(self, width: int, options: IngestOptions) -> None:
        self._tokens = [token for token in options.null_tokens if token]
        kinds = _kinds(options)
        self._columns = [Evidence(list(kinds)) for _ in range(width)]
        self._readable: dict[Kind, list[str]] = {}

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
        """The preferred living kind of each column, once some of its first cells have thinned the kinds out."""
        fresh = [str(place) for place, evidence in enumerate(self._columns) if not evidence.cells]
        if fresh:
            probe = frame.head(PROBE_ROWS).select(pl.col(fresh).str.strip_chars(AROUND))
            for column in probe.get_columns():
                self._rule_out(self._columns[int(column.name)], column)
            self._thin_out(probe)
        return [(str(place), evidence.alive[0]) for place, evidence in enumerate(self._columns) if evidence.alive]

    def _rule_out(self, evidence: Evidence, stripped: pl.Series) -> None:
        """Drop the kinds that the first value does not look like: that takes no query."""
        for cell in stripped:
            if cell and cell not in self._tokens:
                evidence.alive = [kind for kind in evidence.alive if kind.form is None or kind.form.search(cell)]
                return

    def _thin_out(self, probe: pl.DataFrame) -> None:
        """Drop the preferred kind of each column until one fits; all columns at once, as one query costs little."""
        undecided = probe.columns
        while undecided:
            asked = [(name, self._columns[int(name)].alive[0]) for name in undecided if self._columns[int(name)].alive]
            if not asked:
                return
            told = probe.select(expression for name, kind in asked for expression in self._told_of(name, kind)).row(
                0, named=True
            )
            undecided = [name for name, _ in asked if told[name]]
            for name in undecided:
                evidence = self._columns[int(name)]
                self._drop(evidence, evidence.alive[0], too_big=not told.get(f"{name} plain", True))

    def _told_of(self, name: str, kind: Kind) -> list[pl.Expr]:
        """Whether any cell is a misfit; of numbers also, whether any is that for another reason than its length."""
        misfit = self._is_misfit(kind, pl.col(name))
        if kind is not FLOAT:
            return [misfit.any().alias(name)]
        plain = misfit & ~pl.col(name).str.contains(LONG_INTEGER)
        return [misfit.any().alias(name), plain.any().alias(f"{name} plain")]

    def _all_fit(self, evidence: Evidence, series: pl.Series, cells: int, *, longest: int) -> None:
        first = evidence.alive[0]
        evidence.cells += cells
        if not cells:
            return
        if first in (INTEGER, FLOAT):
            evidence.numbers += cells
            evidence.finite = evidence.finite or _any_finite(series)
            evidence.points = evidence.points or first is FLOAT
            evidence.signs.add(None)
            evidence.bare = evidence.unsigned = evidence.compact = True
        beside = [kind for kind in BESIDE.get(first, ()) if kind in evidence.alive]
        evidence.alive = [first, *beside]
        implied = {INTEGER: (FLOAT, POINT, COMMA), FLOAT: (POINT,)}.get(first, ()) if longest <= EXACT_DIGITS else ()
        implied = (POINT,) if first is FLOAT else implied
        if first in moments.BESIDE:
            implied = moments.implied(first, series)
        for kind in beside:
            if kind not in implied:
                self._test(evidence, kind, series.drop_nulls())
        if first in (POINT, COMMA):
            self._note_signs(evidence, series.drop_nulls())
        if first is WORDS:
            evidence.words |= set(series.drop_nulls().str.to_lowercase().unique())

    def _note_signs(self, evidence: Evidence, cells: pl.Series) -> None:
        """Whether points and commas are met, and which signs of currency: numbers of two currencies are texts."""
        evidence.signs |= set(cells.str.extract(numerals.SIGN).unique().to_list())
        evidence.points = evidence.points or bool(cells.str.contains(DECIMALS).any())
        evidence.commas = evidence.commas or bool(cells.str.contains(",", literal=True).any())
        brackets = cells.str.starts_with("(")
        evidence.in_brackets = evidence.in_brackets or bool(brackets.any())
        evidence.bare = evidence.bare or not bool(brackets.all())
        plus = cells.str.starts_with("+")
        evidence.plus = evidence.plus or bool(plus.any())
        evidence.unsigned = evidence.unsigned or not bool(plus.all())
        spaced = cells.str.contains(numerals.SPACED)
        evidence.spaced = evidence.spaced or bool(spaced.any())
        evidence.compact = evidence.compact or not bool(spaced.all())
        if len(evidence.signs) > 1:
            evidence.alive = [kind for kind in evidence.alive if kind not in (POINT, COMMA)]

    def _weigh(self, evidence: Evidence, cells: pl.Series) -> None:
        """The exact way: white space around values is allowed, null tokens are no values."""
        evidence.cells += len(cells)
        stripped = cells.str.strip_chars(AROUND)
        values = stripped.filter(~stripped.is_in(self._tokens) & (stripped != ""))
        implied: tuple[Kind, ...] = ()
        for kind in list(evidence.alive):
            if kind not in implied:
                self._test(evidence, kind, stripped)
            if kind in moments.BESIDE and kind in evidence.alive and not implied:
                implied = moments.implied(kind, values)
        tokens = len(cells) - len(values)
        if evidence.alive:
            evidence.padded = evidence.padded or bool((stripped != cells).any())
            evidence.tokens += tokens
        if evidence.counting:
            misfits = 0 if FLOAT in evidence.alive else len(self._misfits(FLOAT, stripped))
            evidence.numbers += len(cells) - tokens - misfits
            evidence.counting = evidence.numbers * 2 >= evidence.cells
        if FLOAT in evidence.alive:
            evidence.finite = evidence.finite or _any_finite(stripped)
        if POINT in evidence.alive or COMMA in evidence.alive:
            self._note_signs(evidence, values)
        if WORDS in evidence.alive:
            evidence.words |= set(values.str.to_lowercase().unique())

    def _is_misfit(self, kind: Kind, cell: pl.Expr) -> pl.Expr:
        """Whether a stripped cell is a value, and not one of the kind."""
        cast = kind.cast(cell)
        refused = cast.is_null() | (kind.suspect(cell, cast) & kind.refused(cell))
        return (cell != "") & ~cell.is_in(self._tokens) & refused

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

    def _test(self, evidence: Evidence, kind: Kind, stripped: pl.Series) -> None:
        # Most kinds are refuted by the first cells, and some patterns take a microsecond a cell. Of floats all misfits
        # are wanted: whether it is for their length alone.
        if kind is not FLOAT and len(stripped) > PROBE_ROWS and len(self._misfits(kind, stripped.head(PROBE_ROWS))):
            self._drop(evidence, kind, too_big=False)
            return
        misfits = self._misfits(kind, stripped)
        if len(misfits):
            self._drop(evidence, kind, too_big=bool(misfits.str.contains(LONG_INTEGER).all()))

    @staticmethod
    def _drop(evidence: Evidence, kind: Kind, *, too_big: bool) -> None:
        evidence.alive.remove(kind)
        if kind is FLOAT:
            evidence.too_big = too_big

    def decide(self) -> list[Decision]:
        """The type of each column. A column without any value, or of infinities and NaN alone, stays text."""
        leaning = self._leaning()
        return [self._decision(place, evidence, leaning) for place, evidence in enumerate(self._columns, start=1)]

    def _leaning(self) -> Kind | None:
        """The decimal sign of the columns that leave no doubt, if they agree."""
        filled = [evidence for evidence in self._columns if evidence.filled]
        comma = any(COMMA in each.alive and POINT not in each.alive and FLOAT not in each.alive for each in filled)
        point = any(POINT in each.alive and COMMA not in each.alive and each.points for each in filled)
        return None if comma == point else COMMA if comma else POINT

    def _decision(self, place: int, evidence: Evidence, leaning: Kind | None) -> Decision:
        kind = evidence.chosen(leaning)
        nulls = evidence.rows - evidence.cells
        if kind is None:
            return Decision(None, lambda cell: cell, nulls, evidence.text_warning(place))
        if kind not in self._readable:
            self._readable[kind] = _readable(kind, self._tokens)
        readable = self._readable[kind]
        cast = numerals.whole(kind) if evidence.is_whole(kind) else kind
        expression = _typed(cast, readable, padded=evidence.padded)
        warning = evidence.warning(place, kind)
        return Decision(kind, expression, None if readable else nulls + evidence.tokens, warning)


def _kinds(options: IngestOptions) -> list[Kind]:
    """What a column may be, in the order of preference."""
    numbers = {".": (FLOAT, POINT), ",": (COMMA,), None: (FLOAT, POINT, COMMA)}[options.decimal]
    orders = dates.ORDERS.values() if options.date_order is None else (dates.ORDERS[options.date_order],)
    return [
        *map(dates.declared, options.date_formats),
        INTEGER,
        *(kind for kind in numbers if kind is FLOAT),
        DATE,
        DATETIME,
        ZONED,
        *moments.MOMENTS,
        truth(options.true_values, options.false_values),
        *([WORDS] if (options.true_values, options.false_values) == (TRUE_VALUES, FALSE_VALUES) else []),
        *(kind for kind in numbers if kind is not FLOAT),
        *dates.PLAIN_DATES,
        *(kind for order in orders for kind in order),
        *(dates.NEVER if options.date_order is None else ()),
    ]


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


def _readable(kind: Kind, tokens: list[str]) -> list[str]:
    """The null tokens that would also be read as values, as -999 or NaN would."""
    cells = pl.DataFrame({"token": pl.Series(tokens, dtype=pl.String)})
    return cells.filter(kind.cast(pl.col("token")).is_not_null()).get_column("token").to_list()


def _typed(kind: Kind, readable_tokens: list[str], *, padded: bool) -> Callable[[pl.Expr], pl.Expr]:
    def expression(cell: pl.Expr) -> pl.Expr:
        stripped = cell.str.strip_chars(AROUND) if padded else cell
        value = kind.cast(stripped)
        return pl.when(~stripped.is_in(readable_tokens)).then(value) if readable_tokens else value

    return expression
