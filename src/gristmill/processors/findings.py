"""What the report of `anomalies` says of each column and group."""

import math
from collections.abc import Sequence

import msgspec

from gristmill.processors import forest
from gristmill.processors.bounds import Bounds, Method, masking
from gristmill.processors.columns import Floats
from gristmill.processors.densities import Histogram, Tails
from gristmill.processors.forest import Forest
from gristmill.processors.grouping import Grouped, Grouping
from gristmill.processors.judging import Judge
from gristmill.processors.rolling import Rolling
from gristmill.processors.spread import Spread
from gristmill.processors.tallies import Tally

_ROW_SCORES = {Method.ISOLATION_FOREST: "2^(-mean path length / average path length)"}
_UNCUT = "constant, or never with a value in a row without gaps"


def entry(
    judge: Judge, spreads: Sequence[Spread], method: Method, limit: float, sample: Floats | None
) -> tuple[dict[str, object], list[str]]:
    """A column's place in the report, and what to warn of. `spreads` are its own, one for each group; `sample` are some
    of its values, where rows are not grouped.
    """
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
    if sample is not None:
        hidden = [masking(sample, spreads[0].moments)]
    else:
        hidden = [masking(known.values.points, known.moments, known.values.weights) for known in spreads]
    told = [one for one in hidden if one is not None]
    if told:
        values, sampled = sum(one.values for one in told), [one.sampled for one in told if one.sampled is not None]
        label = {"accuracy": "sampled", "n": sum(sampled)} if sampled else {"accuracy": "exact"}
        found["masked"] = {"values": values, **label}
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


Entries = list[dict[str, object]]


def row_score(method: Method) -> str:
    """How a row's score is made."""
    plain = "highest of the columns" if method.bounded else "mean of the columns"
    return _ROW_SCORES.get(method, plain)


def degenerate(judges: Sequence[Judge], entries: Entries) -> list[object]:
    """The columns that could not be judged at all."""
    if judges:
        return [judge.column for judge in judges if not judge.judged]
    return [entry["name"] for entry in entries if entry["note"] is not None]


def accuracy(judges: Sequence[Judge], own: Rolling | Forest | None) -> dict[str, object]:
    """The label of the figures; of a forest also the rows it was grown from."""
    if isinstance(own, Forest):
        sample = {"rows": own.sampled, "rows_of_a_tree": min(own.sample_rows, own.sampled), "trees": own.trees}
        return {"accuracy": "sampled", "sample": sample | {"seed": own.seed}}
    approximate = any(isinstance(judge, Tails) and judge.error > 0 for judge in judges)
    return {"accuracy": "approximate" if approximate else "exact"}


def unjudged(own: Rolling | Forest | None, seen: Tally | None, rows: int) -> dict[str, object]:
    """Rows that a method could not judge, and why."""
    if isinstance(own, Rolling) and own.order is not None:
        return {
            "rows_without_time": own.order.timeless,
            "rows_in_order_of_time": own.order.ordered,
            "window": {"length": own.window.said, "min_history": own.window.least},
            "bounds": "They move from row to row: each flagged row has its own.",
        }
    if isinstance(own, Forest) and seen is not None:
        start = -own.mean_depth / own.average
        return {"rows_not_judged": rows - int(seen.counts[forest.JUDGED, 0]), "contributions_start_from": start}
    return {}


def whole_rows(own: Rolling | Forest, names: Sequence[str], seen: Tally, rows: int) -> tuple[Entries, list[str]]:
    """As `entry`, for all columns of a method that judges whole rows. Its bounds, if any, are with the flagged rows."""
    entries = _moving(names, seen) if isinstance(own, Rolling) else _cut(own, names, seen)
    warnings = [f"Column {entry['name']}: {entry['note']}." for entry in entries if entry["note"] is not None]
    if isinstance(own, Rolling) and own.order is not None and own.order.timeless:
        warnings.append(f"{own.order.timeless} rows have no time: they are not judged.")
    missing = rows - int(seen.counts[forest.JUDGED, 0]) if isinstance(own, Forest) else 0
    if missing:
        warnings.append(f"{missing} rows miss a value, or nothing could be cut: they are not judged.")
    return entries, warnings


def _moving(names: Sequence[str], seen: Tally) -> Entries:
    entries: Entries = []
    for place, name in enumerate(names):
        below, above, values, short, flat = (int(count) for count in seen.counts[:, place])
        note = "no value has a history that is long enough and not constant" if short + flat == values else None
        entry: dict[str, object] = {"name": name, "values": values, "note": note, "below": below, "above": above}
        entries.append(entry | {"short_history": short, "constant_history": flat, "low": None, "high": None})
    return entries


def _cut(own: Forest, names: Sequence[str], seen: Tally) -> Entries:
    return [
        {"name": name, "note": _UNCUT if flat else None, "highest_in": int(seen.counts[forest.HIGHEST, place])}
        for place, (name, flat) in enumerate(zip(names, own.flat, strict=True))
    ]
