"""`gristmill doctor`: what is reachable, what is not, and how to mend it."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from gristmill.db.engine import Database
from gristmill.db.fence import standing
from gristmill.db.keys import keys_exist, list_keys
from gristmill.db.migrations import current_revision, head_revision
from gristmill.db.workers import count_workers
from gristmill.domain.key import last_admin
from gristmill.domain.role import Role
from gristmill.errors import DatabaseUnavailable, GristmillError
from gristmill.objects import ObjectStore
from gristmill.settings import Settings

OLDEST_POSTGRES = 18
LEAST_SCRATCH_BYTES = 1024**3
LOOK_S = 5.0


@dataclass(frozen=True)
class Finding:
    """One thing looked at: whether it is well, what was seen, and how to mend it when it is not."""

    name: str
    well: bool
    seen: str
    mend: str = ""


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything a running Gristmill needs; nothing is changed."""
    async with Database.open(settings) as database, ObjectStore.open(settings) as store:
        looks: tuple[tuple[str, Callable[[], Awaitable[Finding]]], ...] = (
            ("PostgreSQL", lambda: _postgres(database, settings)),
            ("schema", lambda: _schema(database)),
            ("fence", lambda: _fence(database)),
            ("S3", lambda: _buckets(store, settings)),
            ("API keys", lambda: _keys(database, settings)),
            ("workers", lambda: _workers(database)),
        )
        findings = [await _look(name, look) for name, look in looks]
    return [*findings, _scratch(settings)]


def _good(name: str, seen: str) -> Finding:
    return Finding(name, well=True, seen=seen)


def _bad(name: str, seen: str, *, mend: str) -> Finding:
    return Finding(name, well=False, seen=seen, mend=mend)


async def _look(name: str, look: Callable[[], Awaitable[Finding]]) -> Finding:
    try:
        async with asyncio.timeout(LOOK_S):
            return await look()
    except TimeoutError:
        return _bad(name, f"no answer within {LOOK_S:.0f} s", mend="is the service up, and not frozen?")
    except DatabaseUnavailable as error:
        return _bad(name, error.detail, mend="check POSTGRES_HOST, POSTGRES_PORT and that PostgreSQL runs")
    except asyncpg.InsufficientPrivilegeError:
        return _bad(name, "this login may not look", mend="gristmill migrate, and docs/how-to/database-roles.md")
    except GristmillError as error:
        return _bad(name, error.detail, mend="see the README's troubleshooting")


async def _postgres(database: Database, settings: Settings) -> Finding:
    where = f"{settings.postgres_host}:{settings.postgres_port}"
    try:
        async with database.driver() as driver:
            version = int(await driver.fetchval("SHOW server_version_num")) // 10_000
    except asyncpg.InvalidAuthorizationSpecificationError:
        return _bad(
            "PostgreSQL", f"{where} refuses the role", mend="check POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB"
        )
    except asyncpg.InvalidCatalogNameError:
        return _bad("PostgreSQL", f"{where} has no such database", mend="create it, or check POSTGRES_DB")
    if version < OLDEST_POSTGRES:
        return _bad("PostgreSQL", f"{where} runs version {version}", mend=f"{OLDEST_POSTGRES} or newer is needed")
    return _good("PostgreSQL", f"version {version} at {where}")


async def _schema(database: Database) -> Finding:
    head, current = head_revision(), await current_revision(database)
    if current != head:
        return _bad("schema", f"at revision {current or 'none'}, the code is at {head}", mend="gristmill migrate")
    return _good("schema", f"at revision {head}")


async def _fence(database: Database) -> Finding:
    """Whether the API can see the rows of one owner alone, and as which roles this login may act."""
    found = await standing(database)
    mend = "gristmill migrate, and docs/how-to/database-roles.md"
    if found.open_tables:
        return _bad("fence", f"no row-level security on {', '.join(found.open_tables)}", mend=mend)
    if not found.roles:
        return _bad("fence", f"{found.login} may act as none of {', '.join(Role)}", mend=mend)
    owns = ", and owns the tables" if found.owns_tables else ""
    return _good("fence", f"{found.login} acts as {' or '.join(found.roles)}{owns}")


async def _buckets(store: ObjectStore, settings: Settings) -> Finding:
    try:
        await store.probe()
    except GristmillError as error:
        mend = "check S3_ENDPOINT_URL and the credentials; `gristmill buckets` creates missing buckets"
        return _bad("S3", error.detail, mend=mend)
    names = f"{settings.s3_datasets_bucket}, {settings.s3_job_results_bucket}"
    return _good("S3", f"{names} at {str(settings.s3_endpoint_url).rstrip('/')}")


async def _keys(database: Database, settings: Settings) -> Finding:
    if await keys_exist(database):
        return await _last_admin(settings)
    if settings.loopback_only:
        return _good("API keys", f"none: the API answers on {settings.api_host} only")
    mend = "gristmill keys create --owner NAME, or listen on 127.0.0.1"
    return _bad("API keys", f"none, and API_HOST is {settings.api_host}", mend=mend)


async def _last_admin(settings: Settings) -> Finding:
    """Whether somebody is an admin for some while yet. Looked at as who owns the tables; nobody else sees all keys."""
    asked = "every request needs one"
    try:
        async with Database.open(settings.for_migration()) as owning:
            last = last_admin(use.key for use in await list_keys(owning))
    except asyncpg.InsufficientPrivilegeError:
        return _good("API keys", f"{asked}; until when they are valid, this login may not see")
    if last is None:
        return _good("API keys", f"{asked}; none has the scope admin")
    if not last.ends_soon or last.expires_at is None:
        return _good("API keys", f"{asked}; the last admin's is valid {_until(last.expires_at)}")
    mend = "gristmill keys create --owner NAME --scope admin"
    return _bad("API keys", f"{asked}; the last admin's, {last.key_id}, {_ends(last.expires_at)}", mend=mend)


def _until(at: datetime | None) -> str:
    return "for ever" if at is None else f"until {at:%Y-%m-%d}"


def _ends(at: datetime) -> str:
    return f"{'expired' if at <= datetime.now(UTC) else 'expires'} {at:%Y-%m-%d %H:%M} UTC"


async def _workers(database: Database) -> Finding:
    alive = await count_workers(database)
    return _good("workers", f"{alive} alive") if alive else _bad("workers", "none alive", mend="make worker")


def _scratch(settings: Settings) -> Finding:
    folder = settings.scratch_dir or Path(tempfile.gettempdir())
    try:
        free = shutil.disk_usage(folder).free
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return _bad("scratch", f"{folder}: {error.strerror}", mend="set SCRATCH_DIR to a writable folder")
    seen = f"{free / 1e9:.1f} GB free in {folder}"
    return _good("scratch", seen) if free >= LEAST_SCRATCH_BYTES else _bad("scratch", seen, mend="free some space")


def report(findings: list[Finding]) -> str:
    """The findings as lines for a terminal."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{'ok  ' if finding.well else 'FAIL'}  {finding.name:<{width}}  {finding.seen}")
        if not finding.well and finding.mend:
            lines.append(f"      {'':<{width}}  → {finding.mend}")
    return "\n".join(lines)
