"""The figures of one column of the kind `metrics`, as its report states them."""

from gristmill.domain.column import Column
from gristmill.errors import InternalError
from gristmill.processors import hashes
from gristmill.processors.columns import Family, family
from gristmill.processors.profile import Caps, ColumnSeen, NumberSeen, OtherSeen, Told, edges
from gristmill.processors.spread import Spread

FRACTIONS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def of_number(column: Column, seen: NumberSeen, known: Spread, caps: Caps) -> dict[str, object]:
    """A numeric column's figures. Quantiles are exact however many rows there are."""
    measured = known.moments
    count = measured.count
    told = _told(seen)
    distinct = min(count, told.distinct)
    quartiles = known.quantile(0.25), known.quantile(0.75)
    return {
        "name": column.name,
        "type": column.type,
        "count": count,
        "nulls": seen.nulls,
        "nan": seen.nans,
        "infinities": seen.infinities,
        "distinct": distinct,
        "min": seen.low,
        "max": seen.high,
        "sum": _sum(seen) if count else None,
        "mean": measured.mean if count else None,
        "std": measured.std(ddof=1),
        "variance": measured.variance(ddof=1),
        "skew": measured.skew,
        "kurtosis": measured.kurtosis,
        "quantiles": {f"{fraction:.0%}": known.quantile(fraction) for fraction in FRACTIONS},
        "iqr": quartiles[1] - quartiles[0] if quartiles[0] is not None and quartiles[1] is not None else None,
        "mad": known.median_distance,
        "zeros": seen.zeros,
        "negatives": seen.negatives,
        "histogram": _histogram(seen, known),
        "top_values": _top(told) if told.exact else None,
        "constant": measured.constant,
        "unique": told.exact and 0 < distinct == count,
        "monotonic": seen.order.word,
        "accuracy": {}
        if told.exact
        else {"distinct": _approximate(caps), "unique": "not told", "top_values": "not told"},
    }


def of_other(column: Column, seen: OtherSeen, rows: int, caps: Caps) -> dict[str, object]:
    """The figures of a column of text, booleans or times; of any other type only what is missing."""
    kind = family(column)
    count = rows - seen.nulls
    entry: dict[str, object] = {"name": column.name, "type": column.type, "count": count, "nulls": seen.nulls}
    if kind is Family.OTHER:
        return entry | {"accuracy": {}}
    told = _told(seen)
    exact, distinct = told.exact, min(count, told.distinct)
    accuracy: dict[str, object] = {}
    if not exact:
        accuracy = {
            "distinct": _approximate(caps),
            "top_values": {"label": "approximate", "too_low_by_at_most": seen.frequencies.error},
            "unique": "not told",
        }
    entry |= {
        "distinct": distinct,
        "top_values": _top(told),
        "constant": exact and distinct == 1,
        "unique": exact and 0 < distinct == count,
        "accuracy": accuracy,
    }
    if kind is not Family.BOOLEAN:
        entry["monotonic"] = seen.order.word
    if kind is Family.TEXT:
        measured = seen.lengths
        entry["lengths"] = {
            "min": int(measured.low) if measured.count else None,
            "max": int(measured.high) if measured.count else None,
            "mean": measured.mean if measured.count else None,
        }
    if kind is Family.TIME:
        entry |= {"earliest": seen.low, "latest": seen.high}
        if column.type.startswith("Date"):
            entry["gaps"] = _gaps(seen, distinct, accuracy)
    return entry


def _gaps(seen: OtherSeen, distinct: int, accuracy: dict[str, object]) -> dict[str, object] | None:
    """Steps from one different time to the next; says in `accuracy` where they are not told, or approximate."""
    found = seen.gaps
    if found is None:
        if distinct > 1:
            accuracy["gaps"] = "not told"
        return None
    if not found.exact:
        accuracy["gaps"] = {"label": "approximate", "figures": ["median_step", "irregular_steps"]}
    return {
        "steps": found.steps,
        "median_step": found.median,
        "irregular_steps": found.irregular,
        "largest": {"step": found.largest, "from": found.start, "to": found.end},
    }


def _sum(seen: NumberSeen) -> float:
    return seen.total if seen.whole is None else int(seen.whole)


def _approximate(caps: Caps) -> dict[str, object]:
    return {"label": "approximate", "relative_standard_error": hashes.relative_error(caps.hashes)}


def _histogram(seen: NumberSeen, known: Spread) -> dict[str, object] | None:
    ends = edges(known.moments)
    if seen.bins is None or ends is None:
        return None
    return {"edges": ends.tolist(), "counts": seen.bins.tolist()}


def _told(seen: ColumnSeen) -> Told:
    if seen.told is None:
        raise InternalError("A column is reported before it is settled.")
    return seen.told


def _top(told: Told) -> list[dict[str, object]]:
    return [{"value": value, "count": count} for value, count in told.top]
