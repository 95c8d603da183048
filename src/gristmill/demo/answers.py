"""Reading of what the server answered."""

from collections.abc import Mapping
from typing import Any


def column_of(report: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A column's entry in a report."""
    entry: Mapping[str, Any] = next(column for column in report["columns"] if column["name"] == name)
    return entry


def number(value: float | None) -> str:
    """A number for people: whole ones with separators, large ones with one decimal, small ones with four digits."""
    if value is None:
        return "–"
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.4g}"


def size(count: int) -> str:
    """Bytes for people."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB" if count >= 1e3 else f"{count} B"


def method_name(method: str) -> str:
    """A method's name as people write it."""
    return {"zscore": "z-score", "modified_zscore": "modified z-score", "iqr": "IQR"}.get(method, method)
