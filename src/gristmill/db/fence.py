"""The second fence behind the statements: who may touch which table, and whose rows the API is shown.

Every statement of the API says whose rows it means. Should one forget it, row-level security shows it the rows of the
owner that its connection is bound to (`db/pool.py`), and without one none at all. Workers see all rows, of the tables
they need. Who owns the tables is not fenced: he migrates, and keeps the API keys.

A new table needs its line in `GRANTS`, and a migration that says the same (the tests compare them).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from sqlalchemy import DDL, event

from gristmill.db.engine import Database
from gristmill.db.models import LEASES, Table
from gristmill.db.questions import Question
from gristmill.domain.role import Role

# Unset, and in a session that had it set, it is NULL or ''; no owner is called so.
MINE: Final = "owner = nullif(current_setting('gristmill.owner', true), '')"


STANDING: Final = """
SELECT session_user::text, ARRAY (
    SELECT name FROM unnest($1::text[]) WITH ORDINALITY AS role (name, place)
    WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = name) AND pg_has_role(session_user, name, 'SET')
    ORDER BY place
), EXISTS (
    SELECT FROM pg_class WHERE oid = to_regclass('jobs') AND pg_has_role(session_user, relowner, 'USAGE')
), ARRAY (
    SELECT relname::text FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'owner'
    WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND NOT (
        relrowsecurity AND EXISTS (SELECT FROM pg_policy WHERE polrelid = pg_class.oid)
    ) ORDER BY relname
)
"""


class Grants(NamedTuple):
    """What the API and what a worker may do with a table; empty: nothing."""

    api: str
    worker: str


GRANTS: Final[dict[str, Grants]] = {
    # Removed datasets stay as stubs.
    "datasets": Grants("SELECT, INSERT, UPDATE", "SELECT, UPDATE"),
    "uploads": Grants("SELECT, INSERT, UPDATE, DELETE", "SELECT, DELETE"),
    "idempotency_keys": Grants("SELECT, INSERT, UPDATE", "SELECT, DELETE"),
    "jobs": Grants("SELECT, INSERT, UPDATE, DELETE", "SELECT, INSERT, UPDATE, DELETE"),
    "job_events": Grants("SELECT, INSERT, DELETE", "SELECT, INSERT, DELETE"),
    "lost_attempts": Grants("SELECT (lease), INSERT", "SELECT, INSERT, DELETE"),
    "queue_limits": Grants("SELECT, INSERT, UPDATE, DELETE", "SELECT"),
    "rate_claims": Grants("", "SELECT, INSERT, DELETE"),
    "schedules": Grants("SELECT, INSERT, UPDATE, DELETE", "SELECT, UPDATE"),
    "webhooks": Grants("SELECT, INSERT, UPDATE, DELETE", "SELECT, UPDATE (disabled, updated_at)"),
    "webhook_deliveries": Grants("SELECT, UPDATE", "SELECT, INSERT, UPDATE, DELETE"),
    "workers": Grants("", "SELECT, INSERT, UPDATE, DELETE"),
    # By questions alone.
    "api_keys": Grants("", ""),
    "audit_events": Grants("INSERT", "INSERT"),
}

# What lists by label read beside their table. Under a policy PostgreSQL takes no index for `@>` and `?`, because these
# could tell of rows that are not to be seen; in a view that says the same it does. Whoever is not under a policy
# (a worker, the tables' owner) sees all.
LABEL_VIEWS: Final = ("datasets", "jobs")


def label_view(table: str) -> str:
    """The name of the view: id and labels."""
    return f"{table}_labels"


def ddl() -> Iterator[str]:
    """All of the fence, for tables that have none yet."""
    for table in Table.metadata.sorted_tables:
        yield from _table(table.name, owned="owner" in table.columns)
    yield f"GRANT USAGE ON SEQUENCE {LEASES.name} TO {Role.WORKER}"
    for table_name in LABEL_VIEWS:
        yield (
            f"CREATE VIEW {label_view(table_name)} AS SELECT id, labels FROM {table_name}"  # noqa: S608 (ours)
            f" WHERE {MINE} OR NOT row_security_active('{table_name}'::regclass)"
        )
        yield f"GRANT SELECT ON {label_view(table_name)} TO {Role.API}"
    for question in Question:
        yield from question.ddl


def _table(name: str, *, owned: bool) -> Iterator[str]:
    grants = GRANTS.get(name, Grants("", ""))
    for role, granted in ((Role.API, grants.api), (Role.WORKER, grants.worker)):
        if granted:
            yield f"GRANT {granted} ON {name} TO {role}"
    if owned:
        yield f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"
        yield f"CREATE POLICY of_its_owner ON {name} TO {Role.API} USING ({MINE})"
        yield f"CREATE POLICY of_all_owners ON {name} TO {Role.WORKER} USING (true)"


@dataclass(frozen=True)
class Standing:
    """Who logs in, as which roles he may act, and whether every table with an owner is fenced."""

    login: str
    roles: tuple[str, ...]
    owns_tables: bool
    open_tables: tuple[str, ...]


async def standing(database: Database) -> Standing:
    """How the fence stands, as this login sees it."""
    async with database.driver() as driver:
        ((login, roles, owns_tables, open_tables),) = await driver.fetch(STANDING, list(Role))
    return Standing(login, tuple(roles), owns_tables, tuple(open_tables))


for _statement in ddl():
    # A percent sign would have to be doubled: DDL takes them for its own.
    event.listen(Table.metadata, "after_create", DDL(_statement))  # type: ignore[no-untyped-call]
