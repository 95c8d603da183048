"""Numbers as people write them."""

from datetime import UTC, datetime

MINUTE, HOUR, DAY = 60, 3600, 86400


def number(value: float | None) -> str:
    """A number for people: whole ones with separators, large ones with one decimal, small ones with four digits."""
    if value is None:
        return "–"
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.4g}"


def size(count: int) -> str:
    """Bytes for people."""
    if count >= 1e9:
        return f"{count / 1e9:.2f} GB"
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB" if count >= 1e3 else f"{count} B"


def seconds(span: float | None) -> str:
    """A span of time: `0.41 s`, `12 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    if span is None:
        return "–"
    if span < 10:
        return f"{span:.2g} s" if span >= 0.1 or not span else "0.1 s"
    whole = round(span)
    for unit, word, below, small in ((DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "min"), (MINUTE, "min", 1, "s")):
        if whole >= unit:
            rest = whole % unit // below
            return f"{whole // unit} {word}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"


def ago(moment: datetime | None) -> str:
    """How long ago a moment was."""
    return "–" if moment is None else f"{seconds(max(0.0, (datetime.now(UTC) - moment).total_seconds()))} ago"
