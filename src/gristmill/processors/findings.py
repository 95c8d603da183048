"""What the report of `anomalies` says of each column and group."""

import math
from collections.abc import Sequence

import msgspec

from gristmill.processors.bounds import Bounds, Method, masking
from gristmill.processors.densities import Histogram, Tails
from gristmill.processors.flagging import Judge
from gristmill.processors.grouping import Grouped, Grouping
from gristmill.processors.spread import Spread

_MASKED = frozenset({Method.ZSCORE, Method.MODIFIED_ZSCORE, Method.SEASONAL})


def entry(judge: Judge, spreads: Sequence[Spread], method: Method, limit: float) -> tuple[dict[str, object], list[str]]:
    """A column's place in the report, and what to warn of. `spreads` are its own, one for each group."""
    count = sum(known.moments.count for known in spreads)
    found: dict[str, object] = {"name": judge.column, "values": count, "note": judge.note}
    warnings = [] if judge.note is None else [f"Column {judge.column}: {judge.note}."]
    match judge:
        case Bounds():
            found |= {"low": judge.low(limit), "high": judge.high(limit)}
            if method is Method.ZSCORE and judge.judged and limit >= (count - 1) / math.sqrt(count):
                warnings.append(f"Column {judge.column}: of {count} values none can have a z-score above {limit:g}.")
        case Grouped():
            found |= {"groups_not_judged": sum(not bound.judged for bound in judge.groups)}
        case Tails():
            found |= {"longer_tail": "right" if judge.leans_right else "left", "frequency_error": judge.error}
        case Histogram():
            found |= {"bins": judge.grid.bins, "bin_width": judge.grid.width}
    hidden = [masking(known) for known in spreads] if method in _MASKED else []
    told = [one for one in hidden if one is not None]
    if told:
        values, exact = sum(one.values for one in told), all(one.exact for one in told)
        found["masked"] = {"values": values, "accuracy": "exact" if exact else "approximate"}
        warnings.append(
            f"Column {judge.column}: {values} values are outliers by the modified z-score and not by the "
            "z-score: outliers inflate the standard deviation (masking)."
        )
    return found, warnings


def groups(
    grouping: Grouping | None, judges: Sequence[Judge], spreads: Sequence[Spread], limit: float
) -> list[dict[str, object]]:
    """Every group: its key, and the bounds of each column in it."""
    if grouping is None:
        return []
    grouped = [judge for judge in judges if isinstance(judge, Grouped)]
    found: list[dict[str, object]] = []
    for place, key in enumerate(grouping.keys or ()):
        own = spreads[place * len(grouped) : (place + 1) * len(grouped)]
        columns = [
            {
                "name": judge.column,
                "values": known.moments.count,
                "low": judge.groups[place].low(limit),
                "high": judge.groups[place].high(limit),
                "note": judge.groups[place].note,
            }
            for judge, known in zip(grouped, own, strict=True)
        ]
        found.append({"group": msgspec.json.decode(key), "columns": columns})
    return found
