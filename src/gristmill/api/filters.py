"""What lists are filtered by besides equal values: labels, and intervals of time."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from litestar.openapi.spec import OpenAPIType, Schema
from litestar.params import QueryParameter

from gristmill.api.paging import checked_text
from gristmill.db.filters import Interval
from gristmill.errors import Fault, InvalidRequest

MAX_LABELS = 32

Labels = Annotated[
    list[str] | None,
    QueryParameter(
        name="label",
        max_items=MAX_LABELS,
        schema_extra={"items": Schema(type=OpenAPIType.STRING, pattern="^[^:]")},
        description="`name:value`: only with this label; `name`: with any value. May be given again; all must match.",
    ),
]
CreatedAfter = Annotated[datetime | None, QueryParameter(description="Only those created at this time or later.")]
CreatedBefore = Annotated[datetime | None, QueryParameter(description="Only those created before this time.")]
FinishedAfter = Annotated[
    datetime | None, QueryParameter(description="Only those that became final at this time or later.")
]
FinishedBefore = Annotated[
    datetime | None, QueryParameter(description="Only those that became final before this time.")
]


def wanted_labels(given: Sequence[str] | None) -> dict[str, str | None]:
    """Label → value, None for any. The name ends at the first colon.

    Raises InvalidRequest: no name, two values for one name, or a NUL character.
    """
    wanted: dict[str, str | None] = {}
    for item in given or ():
        checked_text(item, "/query/label")
        name, colon, value = item.partition(":")
        found = value if colon else None
        if not name or wanted.get(name, found) != found:
            fault = Fault("/query/label", "It must look like name:value or name, and no name may have two values.")
            raise InvalidRequest("A label does not fit.", errors=(fault,))
        wanted[name] = found
    return wanted


def interval(name: str, start: datetime | None, end: datetime | None) -> Interval:
    """From one time to another, in UTC. `name` is the first word of the parameters. Raises InvalidRequest."""
    return Interval(_moment(start, f"/query/{name}_after"), _moment(end, f"/query/{name}_before"))


def shown(name: str, told: Interval) -> dict[str, str | None]:
    """An interval as its parameters stand in a cursor and in the link to the next page."""
    times = {f"{name}_after": told.start, f"{name}_before": told.end}
    return {parameter: None if moment is None else moment.isoformat() for parameter, moment in times.items()}


def _moment(given: datetime | None, pointer: str) -> datetime | None:
    if given is None:
        return None
    # The ends of the calendar overflow when a zone is applied.
    if given.tzinfo is None or not 2000 <= given.year < 3000:
        fault = Fault(pointer, "It must have a time zone (Z or +HH:MM) and be in the years 2000 to 2999.")
        raise InvalidRequest("A time does not fit.", errors=(fault,))
    return given.astimezone(UTC)
