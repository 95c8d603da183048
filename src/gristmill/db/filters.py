"""Conditions of lists that several tables share: by label, and by intervals of time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, literal, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import InstrumentedAttribute

# A job's id has the time of its insert, `created_at` that of its transaction's beginning, so they are apart by the age
# of a transaction. One older than this, which only a program that enqueues by SQL can have, puts its jobs just outside
# the lists that end right after it began.
LONGEST_TRANSACTION = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Interval:
    """From `start` on and before `end`; None: open on that side."""

    start: datetime | None = None
    end: datetime | None = None

    def holds(
        self, column: InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None]
    ) -> Iterator[ColumnElement[bool]]:
        if self.start is not None:
            yield column >= self.start
        if self.end is not None:
            yield column < self.end


NO_INTERVAL = Interval()


def labeled(
    column: InstrumentedAttribute[dict[str, str]], labels: Mapping[str, str | None]
) -> Iterator[ColumnElement[bool]]:
    """Has all of these labels, each with this value; None: with any."""
    if not labels:
        return
    # Word by word the condition of the index, or the planner does not see that it fits.
    yield text(f"{column.class_.__tablename__}.labels <> '{{}}'")  # type: ignore[misc]
    exact = {name: value for name, value in labels.items() if value is not None}
    if exact:
        yield column.contains(literal(msgspec.json.encode(exact).decode(), JSONB))
    for name in labels.keys() - exact.keys():
        yield column.has_key(name)


def id_bounds(
    column: InstrumentedAttribute[UUID], created: Interval, finished: Interval
) -> Iterator[ColumnElement[bool]]:
    """Conditions on a job's id that follow from those on its times: the page's index takes them, and reads no more."""
    if created.start is not None:
        yield column >= first_id(created.start - LONGEST_TRANSACTION)
    ends = [end for end in (created.end, finished.end) if end is not None]
    if ends:
        yield column < first_id(min(ends) + LONGEST_TRANSACTION)


def first_id(moment: datetime) -> UUID:
    """The least UUID of version 7 that a row of this time can have; its first 48 bits are milliseconds (RFC 9562)."""
    return UUID(int=(int(moment.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62))
