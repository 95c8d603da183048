"""Which type a text column has, decided over all its cells: a kind dies with the first cell that does not fit it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from gristmill.ingest import dates, numerals
from gristmill.ingest.invisible import AROUND
from gristmill.ingest.kinds import DATE, DATETIME, EXACT_DIGITS, FLOAT, INTEGER, LONG_INTEGER, ZONED, Kind, truth
from gristmill.ingest.numerals import COMMA, POINT
from gristmill.ingest.options import IngestOptions

PROBE_ROWS: Final = 256
PLAIN: Final = frozenset({INTEGER, FLOAT, DATE, DATETIME, ZONED})
# What may live on beside a kind that fits a whole block. What a plain number fits, POINT fits too.
BESIDE: Final = {
    INTEGER: (FLOAT, POINT, COMMA),
    FLOAT: (POINT, COMMA),
    POINT: (COMMA,),
    dates.DAY_FIRST: (dates.MONTH_FIRST,),
    dates.DAY_FIRST_TIME: (dates.MONTH_FIRST_TIME,),
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
    signs: set[str | None] = field(default_factory=set)
    points: bool = False
    commas: bool = False
    in_brackets: bool = False
    bare: bool = False

    @property
    def either_decimal(self) -> bool:
        """Numbers with a point or comma in them that may be the decimal sign or part thousands."""
        marked = (self.points or self.commas) and INTEGER not in self.alive
        return marked and COMMA in self.alive and (POINT in self.alive or FLOAT in self.alive)


class ColumnTypes:
    """Sees every row once, in frames of text columns, and then decides each column's type."""

    def __init__(self, width: int, options: IngestOptions) -> None:
        self._tokens = [token for token in options.null_tokens if token]
        kinds = _kinds(options)
        self._columns = [_Evidence(list(kinds)) for _ in range(width)]
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
            self._thin_out(frame.head(PROBE_ROWS).select(pl.col(fresh).str.strip_chars(AROUND)))
        return [(str(place), evidence.alive[0]) for place, evidence in enumerate(self._columns) if evidence.alive]

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

    def _all_fit(self, evidence: _Evidence, series: pl.Series, cells: int, *, longest: int) -> None:
        first = evidence.alive[0]
        evidence.cells += cells
        if not cells:
            return
        if first in (INTEGER, FLOAT):
            evidence.numbers += cells
            evidence.finite = evidence.finite or _any_finite(series)
            evidence.points = evidence.points or first is FLOAT
            evidence.signs.add(None)
        beside = [kind for kind in BESIDE.get(first, ()) if kind in evidence.alive]
        evidence.alive = [first, *beside]
        implied = {INTEGER: (FLOAT, POINT, COMMA), FLOAT: (POINT,)}.get(first, ()) if longest <= EXACT_DIGITS else ()
        implied = (POINT,) if first is FLOAT else implied
        for kind in beside:
            if kind not in implied:
                self._test(evidence, kind, series.drop_nulls())
        if first in (POINT, COMMA):
            self._note_signs(evidence, series.drop_nulls())

    def _note_signs(self, evidence: _Evidence, cells: pl.Series) -> None:
        """Whether points and commas are met, and which signs of currency: numbers of two currencies are texts."""
        evidence.signs |= set(cells.str.extract(numerals.SIGN).unique().to_list())
        evidence.points = evidence.points or bool(cells.str.contains(DECIMALS).any())
        evidence.commas = evidence.commas or bool(cells.str.contains(",", literal=True).any())
        brackets = cells.str.starts_with("(")
        evidence.in_brackets = evidence.in_brackets or bool(brackets.any())
        evidence.bare = evidence.bare or not bool(brackets.all())
        if len(evidence.signs) > 1:
            evidence.alive = [kind for kind in evidence.alive if kind not in (POINT, COMMA)]

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
        if POINT in evidence.alive or COMMA in evidence.alive:
            self._note_signs(evidence, stripped.filter(~stripped.is_in(self._tokens) & (stripped != "")))

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

    def _test(self, evidence: _Evidence, kind: Kind, stripped: pl.Series) -> None:
        # Most kinds are refuted by the first cells, and some patterns take a microsecond a cell. Of floats all misfits
        # are wanted: whether it is for their length alone.
        if kind is not FLOAT and len(stripped) > PROBE_ROWS and len(self._misfits(kind, stripped.head(PROBE_ROWS))):
            self._drop(evidence, kind, too_big=False)
            return
        misfits = self._misfits(kind, stripped)
        if len(misfits):
            self._drop(evidence, kind, too_big=bool(misfits.str.contains(LONG_INTEGER).all()))

    @staticmethod
    def _drop(evidence: _Evidence, kind: Kind, *, too_big: bool) -> None:
        evidence.alive.remove(kind)
        if kind is FLOAT:
            evidence.too_big = too_big

    def decide(self) -> list[Decision]:
        """The type of each column. A column without any value, or of infinities and NaN alone, stays text."""
        leaning = self._leaning()
        return [self._decision(place, evidence, leaning) for place, evidence in enumerate(self._columns, start=1)]

    def _leaning(self) -> Kind | None:
        """The decimal sign of the columns that leave no doubt, if they agree."""
        filled = [evidence for evidence in self._columns if evidence.cells > evidence.tokens]
        comma = any(COMMA in each.alive and POINT not in each.alive and FLOAT not in each.alive for each in filled)
        point = any(POINT in each.alive and COMMA not in each.alive and each.points for each in filled)
        return None if comma == point else COMMA if comma else POINT

    def _decision(self, place: int, evidence: _Evidence, leaning: Kind | None) -> Decision:
        kind = self._chosen(evidence, leaning) if evidence.cells > evidence.tokens else None
        nulls = evidence.rows - evidence.cells
        if kind is None:
            return Decision(None, lambda cell: cell, nulls, self._text_warning(place, evidence))
        if kind not in self._readable:
            self._readable[kind] = [token for token in self._tokens if _reads(kind, token)]
        readable = self._readable[kind]
        cast = numerals.whole(kind) if _is_whole(kind, evidence) else kind
        expression = _typed(cast, readable, padded=evidence.padded)
        warning = _sign_warning(place, kind, evidence)
        return Decision(kind, expression, None if readable else nulls + evidence.tokens, warning)

    @staticmethod
    def _chosen(evidence: _Evidence, leaning: Kind | None) -> Kind | None:
        """The kind a column has, or None where two would give it different values."""
        kind = evidence.alive[0] if evidence.alive else None
        if kind is FLOAT and not evidence.finite:
            return None
        if kind is not None and dates.EITHER_ORDER.get(kind) in evidence.alive:
            return None
        if kind in (POINT, COMMA) and evidence.in_brackets and not evidence.bare:
            return None  # (1), (2) … are hardly all negative
        if not evidence.either_decimal:
            return kind
        if leaning is COMMA:
            return COMMA
        # A lone point has always been a decimal one.
        return kind if leaning is POINT or (kind is FLOAT and not evidence.commas) else None

    @staticmethod
    def _text_warning(place: int, evidence: _Evidence) -> str | None:
        if evidence.cells > evidence.tokens and (doubt := _doubt(evidence)) is not None:
            return f"column {place}: {doubt}"
        if evidence.too_big:
            return f"column {place}: it has integers too big for an exact number; it is kept as text"
        share = evidence.numbers / evidence.cells if evidence.cells else 0.0
        if evidence.counting and 0.5 <= share < 1.0:
            return f"column {place}: {_percent(share)} % of cells are numbers; it is kept as text"
        return None


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
        truth(options.true_values, options.false_values),
        *(kind for kind in numbers if kind is not FLOAT),
        *dates.PLAIN_DATES,
        *(kind for order in orders for kind in order),
    ]


def _doubt(evidence: _Evidence) -> str | None:
    """What a column of values that can be read two ways is kept as text for."""
    if any(kind in evidence.alive for kind in dates.EITHER_ORDER):
        return "its dates may have the day or the month first; it is kept as text (date_order says)"
    if evidence.either_decimal:
        return "its numbers may have decimals or thousands; it is kept as text (the option decimal says)"
    if len(evidence.signs) > 1 and not evidence.alive:
        return "its numbers have different signs of currency or percent; it is kept as text"
    return None


def _is_whole(kind: Kind, evidence: _Evidence) -> bool:
    return (kind is POINT and not evidence.points) or (kind is COMMA and not evidence.commas)


def _sign_warning(place: int, kind: Kind, evidence: _Evidence) -> str | None:
    sign = next((sign for sign in evidence.signs if sign is not None), None)
    if kind not in (POINT, COMMA):
        return None
    if sign is None:
        return f"column {place}: numbers in brackets are read as negative" if evidence.in_brackets else None
    return f"column {place}: the sign {sign} is taken off its numbers" + (": 12 % is 12" if sign == "%" else "")


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
