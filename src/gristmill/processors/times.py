"""Times and lengths of time as texts of ISO 8601."""

import polars as pl

from gristmill.errors import BadData

_DAYS = 95_000_000
FAR = {"d": _DAYS, "ms": _DAYS * 86_400_000, "us": _DAYS * 86_400_000_000, "ns": 2**63 - 1}
"""How far from 1970 a time can be told, in its unit: some 260,000 years."""
_NANOSECONDS = {"d": 86_400 * 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_SECOND, _MINUTE, _HOUR, _DAY = 10**9, 60 * 10**9, 3_600 * 10**9, 86_400 * 10**9


def iso(series: pl.Series) -> list[str]:
    """Times in ISO 8601. Raises BadData for one that no calendar has: Polars breaks down on it wherever it is shown."""
    if (
        isinstance(series.dtype, pl.Date | pl.Datetime)
        and (series.to_physical().cast(pl.Int64).abs() > FAR[_unit(series.dtype)]).any()
    ):
        raise BadData("A column has times beyond the year 262,000, which can't be shown")
    return series.dt.to_string("iso").to_list()


def duration(size: int, kind: pl.DataType) -> str:
    """A length of time, in the unit of a type of dates or datetimes. In days at most: a month is no length of time."""
    days, rest = divmod(size * _NANOSECONDS[_unit(kind)], _DAY)
    hours, rest = divmod(rest, _HOUR)
    minutes, rest = divmod(rest, _MINUTE)
    seconds, fraction = divmod(rest, _SECOND)
    written = f"{seconds}.{fraction:09d}".rstrip("0") if fraction else str(seconds)
    parts = ((str(hours), "H"), (str(minutes), "M"), (written, "S"))
    clock = "".join(f"{figure}{sign}" for figure, sign in parts if figure != "0")
    day = f"{days}D" if days else ""
    return f"P{day}{f'T{clock}' if clock else ''}" if day or clock else "PT0S"


def _unit(kind: pl.DataType) -> str:
    return getattr(kind, "time_unit", None) or "d"
