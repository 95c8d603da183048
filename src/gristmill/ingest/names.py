"""Column names: empty, repeated, over-long and reserved ones are renamed, with a warning."""

from collections.abc import Iterable

from gristmill.ingest.invisible import visible_name
from gristmill.processors.contract import ROW

RESERVED = (ROW,)
MAX_NAME_CHARS = 1000


def numbered(width: int) -> list[str]:
    """`column_1`, `column_2`, … for a table without names."""
    return [f"column_{place + 1}" for place in range(width)]


def settle_names(given: Iterable[str]) -> tuple[list[str], list[str]]:
    """The names as they will be, and the warnings. Columns are told by their place, from 1."""
    raw = list(given)
    asked = [visible_name(name) for name in raw]
    taken = set(asked) | set(RESERVED)
    used: set[str] = set()
    names: list[str] = []
    warnings = [
        f"column {place}: its name had characters that can't be seen; they are removed"
        for place, (before, after) in enumerate(zip(raw, asked, strict=True), start=1)
        if before != after
    ]
    for place, name in enumerate(asked, start=1):
        fault = _fault(name, used)
        if fault is None:
            names.append(name)
        else:
            stem = name if fault == "repeated" else f"column_{place}"
            names.append(_free(stem, taken | used))
            warnings.append(f"column {place}: its name was {fault}; it is renamed")
        used.add(names[-1])
    return names, warnings


def _fault(name: str, used: set[str]) -> str | None:
    if not name.strip():
        return "empty"
    if len(name) > MAX_NAME_CHARS:
        return "too long"
    if name in RESERVED:
        return "reserved"
    return "repeated" if name in used else None


def _free(stem: str, taken: set[str]) -> str:
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}_{number}"
    return name
