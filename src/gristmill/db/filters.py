"""Conditions of lists that several tables share: by label, and by intervals of time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, column, literal, select, table, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import InstrumentedAttribute

from gristmill.db.fence import label_view
from gristmill.db.models import Dataset, Job

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
        self, moment: InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None]
    ) -> Iterator[ColumnElement[bool]]:
        if self.start is not None:
            yield moment >= self.start
        if self.end is not None:
            yield moment < self.end


NO_INTERVAL = Interval()


def labeled(model: type[Dataset | Job], labels: Mapping[str, str | None]) -> Iterator[ColumnElement[bool]]:
    """Has all of these labels, each with this value; None: with any."""
    if not labels:
        return
    # Of the view, not of the table: see `fence.LABEL_VIEWS`.
    view = table(label_view(model.__tablename__), column("id", PG_UUID), column("labels", JSONB))
    # Word by word the condition of the index, or the planner does not see that it fits.
    conditions: list[ColumnElement[bool]] = [text(f"{view.name}.labels <> '{{}}'")]  # type: ignore[list-item]
    exact = {name: value for name, value in labels.items() if value is not None}
    if exact:
        conditions.append(view.c.labels.contains(literal(msgspec.json.encode(exact).decode(), JSONB)))
    conditions += [view.c.labels.has_key(name) for name in labels.keys() - exact.keys()]
    yield model.id.in_(select(view.c.id).where(*conditions))


def id_bounds(key: InstrumentedAttribute[UUID], created: Interval, finished: Interval) -> Iterator[ColumnElement[bool]]:
    """Conditions on a job's id that follow from those on its times: the page's index takes them, and reads no more."""
    if created.start is not None:
        yield key >= first_id(created.start - LONGEST_TRANSACTION)
    ends = [end for end in (created.end, finished.end) if end is not None]
    if ends:
        yield key < first_id(min(ends) + LONGEST_TRANSACTION)


def first_id(moment: datetime) -> UUID:
    """The least UUID of version 7 that a row of this time can have; its first 48 bits are milliseconds (RFC 9562)."""
    return UUID(int=(int(moment.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62))
