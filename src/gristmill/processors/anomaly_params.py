"""The params of the kind `anomalies`, and what of them does not fit each other or the columns."""

import re
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from gristmill.domain.column import Column
from gristmill.errors import Fault, InvalidRequest
from gristmill.processors.bounds import Method
from gristmill.processors.columns import Chosen, Family, Names, resolve
from gristmill.processors.forest import Forest
from gristmill.processors.forms import RowsParams
from gristmill.processors.grouping import Grouping, Season
from gristmill.processors.rolling import Rolling, Window

CONTAMINATION = 0.01
"""The share of rows that a method without bounds flags, if neither a share nor a threshold is asked for."""
LEAST_HISTORY = 10
TREES, SAMPLE_ROWS = 100, 256

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_UNITS = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


class AnomaliesParams(RowsParams, frozen=True, forbid_unknown_fields=True):
    """What to look at, and how far is too far: a score, or a share of the rows."""

    columns: Annotated[Chosen | None, Meta(description="Numeric columns, by names or a pattern; null: all.")] = None
    method: Annotated[Method, Meta(description="How far is too far, and from what.")] = Method.ZSCORE
    threshold: Annotated[
        Annotated[float, Meta(gt=0, le=1e9)] | None,
        Meta(description="Flag scores above it; null: 3 (`rolling` too), 3.5 and 1.5, by method."),
    ] = None
    contamination: Annotated[
        Annotated[float, Meta(gt=0, le=0.5)] | None,
        Meta(description="Flag at most this share of the rows, highest scores first."),
    ] = None
    by: Annotated[Names | None, Meta(description="Judge rows among those that are the same in these columns.")] = None
    time_column: Annotated[str | None, Meta(description="For `seasonal` and `rolling`.")] = None
    season: Annotated[Season | None, Meta(description="For `seasonal`; null: `hour_of_day`.")] = None
    window: Annotated[
        Annotated[int, Meta(ge=2, le=100_000)] | Annotated[str, Meta(pattern="^[1-9][0-9]{0,5}[smhdw]$")] | None,
        Meta(description="For `rolling`: so many rows before each row, or a time before it, such as `7d`."),
    ] = None
    min_history: Annotated[
        Annotated[int, Meta(ge=2, le=100_000)] | None,
        Meta(description="For `rolling`: values a window must have; null: 10 or all."),
    ] = None
    bins: Annotated[
        Annotated[int, Meta(ge=2, le=1000)] | None, Meta(description="For `hbos`; null: the square root of the values.")
    ] = None
    trees: Annotated[
        Annotated[int, Meta(ge=1, le=500)] | None, Meta(description="For `isolation_forest`; null: 100.")
    ] = None
    sample_rows: Annotated[
        Annotated[int, Meta(ge=2, le=1024)] | None,
        Meta(description="For `isolation_forest`: rows that grow a tree; null: 256."),
    ] = None
    seed: Annotated[
        Annotated[int, Meta(ge=0, lt=2**32)] | None, Meta(description="For `isolation_forest`; null: 0.")
    ] = None
    limit_rows: Annotated[int, Meta(ge=1, le=1_000_000, description="Keep at most so many, highest scores first.")] = (
        10_000
    )


def check(params: AnomaliesParams) -> None:
    """Raises InvalidRequest for params that only another method takes, or that exclude each other."""
    faults = []
    if params.threshold is not None and params.contamination is not None:
        faults.append(Fault("/params/contamination", "Give a threshold or a contamination, not both."))
    if params.bins is not None and params.method is not Method.HBOS:
        faults.append(Fault("/params/bins", "Only `hbos` takes bins."))
    if params.method is not Method.ISOLATION_FOREST:
        given = [name for name in ("trees", "sample_rows", "seed") if getattr(params, name) is not None]
        faults += [Fault(f"/params/{name}", "Only `isolation_forest` takes it.") for name in given]
    rolling = params.method is Method.ROLLING
    if rolling and params.window is None:
        faults.append(Fault("/params/window", "`rolling` needs a window."))
    if not rolling and params.window is not None:
        faults.append(Fault("/params/window", "Only `rolling` takes a window."))
    least, window = params.min_history, params.window
    if least is not None and (not rolling or (isinstance(window, int) and least > window)):
        faults.append(Fault("/params/min_history", "It must fit into the window of `rolling`."))
    if faults:
        raise InvalidRequest("The params do not fit each other.", errors=tuple(faults))


def grouping_of(columns: Sequence[Column], params: AnomaliesParams) -> Grouping | None:
    """How rows are grouped, if they are. Raises InvalidRequest for columns that make no groups."""
    whole = frozenset({Family.NUMBER, Family.BOOLEAN, Family.TEXT, Family.TIME})
    by = resolve(columns, params.by or (), pointer="/params/by", families=whole)
    faults = [
        Fault(f"/params/by/{place}", "A column of floats makes no groups.")
        for place, column in enumerate(by)
        if column.type.startswith("Float")
    ]
    if by and not params.method.bounded:
        faults.append(Fault("/params/by", f"`{params.method}` takes no groups."))
    seasonal, rolling = params.method is Method.SEASONAL, params.method is Method.ROLLING
    days = rolling or params.season in {Season.DAY_OF_WEEK, Season.MONTH_OF_YEAR}
    times = {column.name for column in columns if column.type.startswith("Date" if days else "Datetime")}
    if seasonal and params.time_column not in times:
        faults.append(Fault("/params/time_column", "This season needs a column of times, or of dates for whole days."))
    if rolling and params.time_column not in times:
        faults.append(Fault("/params/time_column", "`rolling` needs a column of times or dates."))
    if not (seasonal or rolling) and params.time_column:
        faults.append(Fault("/params/time_column", "Only `seasonal` and `rolling` take a time column."))
    if not seasonal and params.season:
        faults.append(Fault("/params/season", "Only `seasonal` takes a season."))
    if faults:
        raise InvalidRequest("The groups do not fit.", errors=tuple(faults))
    names = tuple(column.name for column in by)
    if seasonal:
        return Grouping(names, params.time_column, params.season or Season.HOUR_OF_DAY)
    return Grouping(names) if names else None


def own_of(columns: Sequence[Column], params: AnomaliesParams) -> Rolling | Forest | None:
    """The start of a method that judges rows as a whole. Raises InvalidRequest for a window that is too short."""
    if params.method is Method.ROLLING:
        return Rolling(_window(columns, params))
    if params.method is Method.ISOLATION_FOREST:
        return Forest(params.trees or TREES, params.sample_rows or SAMPLE_ROWS, params.seed or 0)
    return None


def _window(columns: Sequence[Column], params: AnomaliesParams) -> Window:
    """In units of the time column. Raises InvalidRequest when it is shorter than one."""
    time, window = params.time_column or "", params.window or 0
    if isinstance(window, int):
        return Window(time, f"{window} rows", least=params.min_history or min(LEAST_HISTORY, window), rows=window)
    kind = next(column.type for column in columns if column.name == time)
    seconds = int(window[:-1]) * _SECONDS[window[-1]]
    unit = re.search(r"time_unit='(ms|us|ns)'", kind)
    span = seconds * _UNITS[unit[1]] if unit else seconds // _SECONDS["d"]
    if not span:
        fault = Fault("/params/window", "A column of dates needs a window of at least a day.")
        raise InvalidRequest("The window does not fit.", errors=(fault,))
    return Window(time, window, least=params.min_history or LEAST_HISTORY, span=span)
