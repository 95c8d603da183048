from collections.abc import Sequence
from typing import Annotated

import msgspec
import polars as pl
from msgspec import Meta

from gristmill.domain.column import Column
from gristmill.errors import Fault, InvalidRequest
from gristmill.processors.columns import exactly
from gristmill.processors.contract import Planned, Processor


class GapsParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    columns: Annotated[tuple[str, ...], Meta(description="Columns to look at; default: all.")] = ()


class Plan(Planned, frozen=True, kw_only=True):
    columns: tuple[str, ...]


class Gaps(msgspec.Struct, frozen=True):
    """How many rows there are, and how many of them have a null."""

    rows: int
    gaps: int


class CountGaps(Processor[GapsParams, Plan, Gaps, Gaps]):
    """Counts the rows that have a null in one of the columns. Exact."""

    kind = "gaps"
    Params = GapsParams
    example = {"columns": ["temperature"]}

    def plan(self, columns: Sequence[Column], params: GapsParams) -> Plan:
        known = [column.name for column in columns]
        faults = tuple(
            Fault(f"/params/columns/{place}", "There is no such column.")
            for place, name in enumerate(params.columns)
            if name not in known
        )
        if faults:
            raise InvalidRequest("The columns do not fit.", errors=faults)
        return Plan(columns=params.columns or tuple(known))

    def partial(self, frame: pl.LazyFrame, plan: Plan) -> Gaps:
        has_gap = pl.any_horizontal(exactly(name).is_null() for name in plan.columns)
        rows, gaps = frame.select(pl.len(), has_gap.sum().alias("gaps")).collect(engine="streaming").row(0)
        return Gaps(rows, gaps)

    def merge(self, states: Sequence[Gaps]) -> Gaps:
        return Gaps(sum(state.rows for state in states), sum(state.gaps for state in states))

    def finish(self, plan: Plan, state: Gaps) -> Gaps:
        return state

    def report(self, plan: Plan, fitted: Gaps) -> dict[str, object]:
        return {"columns": list(plan.columns), "rows": fitted.rows, "rows_with_gaps": fitted.gaps}
