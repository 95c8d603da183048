"""Reading of what the server answered."""

from collections.abc import Mapping
from typing import Any


def column_of(report: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A column's entry in a report."""
    entry: Mapping[str, Any] = next(column for column in report["columns"] if column["name"] == name)
    return entry


def method_name(method: str) -> str:
    """A method's name as people write it."""
    return {"zscore": "z-score", "modified_zscore": "modified z-score", "iqr": "IQR"}.get(method, method)
