"""What the cells of a column have shown so far, and what they say together."""

from dataclasses import dataclass, field

from gristmill.ingest import dates
from gristmill.ingest.kinds import FLOAT, INTEGER, WORDS, Kind, is_pair
from gristmill.ingest.moments import MIXED
from gristmill.ingest.numerals import COMMA, POINT


@dataclass(slots=True)
class Evidence:
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
    plus: bool = False
    unsigned: bool = False
    spaced: bool = False
    compact: bool = False
    words: set[str] = field(default_factory=set)

    @property
    def either_decimal(self) -> bool:
        """Numbers with a point or comma in them that may be the decimal sign or part thousands."""
        marked = (self.points or self.commas) and INTEGER not in self.alive
        return marked and COMMA in self.alive and (POINT in self.alive or FLOAT in self.alive)

    @property
    def filled(self) -> bool:
        """Whether there is a value."""
        return self.cells > self.tokens

    def chosen(self, leaning: Kind | None) -> Kind | None:
        """The kind a column has, or None where two would give it different values. `leaning` is the decimal sign of
        the rest of the file.
        """
        kind = self.alive[0] if self.alive and self.filled else None
        if kind is None or self._speaks_against(kind):
            return None
        if not self.either_decimal:
            return kind
        if leaning is COMMA:
            return COMMA
        # A lone point has always been a decimal one.
        return kind if leaning is POINT or (kind is FLOAT and not self.commas) else None

    def _speaks_against(self, kind: Kind) -> bool:
        """What all cells together say against a kind that each of them fits."""
        if kind is FLOAT:
            return not self.finite
        if kind is WORDS:
            return not is_pair(self.words)
        if kind in (POINT, COMMA):
            # (1), (2) … are hardly all negative, and +44, +49 … hardly numbers.
            return (self.in_brackets and not self.bare) or (
                self.plus and not self.unsigned and self.is_whole(kind) and not any(self.signs)
            )
        return kind in dates.NEVER or any(rival in self.alive for rival in dates.RIVALS.get(kind, ()))

    def is_whole(self, kind: Kind) -> bool:
        """Whether none of its numbers has decimals."""
        return (kind is POINT and not self.points) or (kind is COMMA and not self.commas)

    def warning(self, place: int, kind: Kind) -> str | None:
        """What is to be told of a column of the kind."""
        sign = next((sign for sign in self.signs if sign is not None), None)
        if kind is MIXED:
            return f"column {place}: its dates without a time are read as midnight"
        if kind in dates.SHORT_YEARS:
            return f"column {place}: its years of two digits are read as 1970 to 2039"
        if kind not in (POINT, COMMA):
            return None
        if sign is None and self.in_brackets:
            return f"column {place}: numbers in brackets are read as negative"
        if sign is None:
            grouped = self.spaced and not self.compact
            return f"column {place}: spaces in its numbers are read as between thousands" if grouped else None
        return f"column {place}: the sign {sign} is taken off its numbers" + (": 12 % is 12" if sign == "%" else "")

    def text_warning(self, place: int) -> str | None:
        """What is to be told of a column that stays text."""
        if self.filled and (doubt := self._doubt()) is not None:
            return f"column {place}: {doubt}"
        if self.too_big:
            return f"column {place}: it has integers too big for an exact number; it is kept as text"
        share = self.numbers / self.cells if self.cells else 0.0
        if self.counting and 0.5 <= share < 1.0:
            return f"column {place}: {_percent(share)} % of cells are numbers; it is kept as text"
        return None

    def _doubt(self) -> str | None:
        """What a column of values that can be read two ways is kept as text for."""
        if any(kind in self.alive for kind in dates.NEVER):
            return "its years of two digits may stand first or last; it is kept as text (date_order, date_formats say)"
        if any(kind in self.alive for kind in dates.RIVALS):
            return "its dates may have the day or the month first; it is kept as text (date_order says)"
        if self.either_decimal:
            return "its numbers may have decimals or thousands; it is kept as text (the option decimal says)"
        if len(self.signs) > 1 and not self.alive:
            return "its numbers have different signs of currency or percent; it is kept as text"
        return None


def _percent(share: float) -> str:
    """One decimal, and never 100.0 for less than all."""
    return f"{min(share * 100, 99.9):.1f}"
