"""What runs a server: `api`, `worker`, `run`, and what looks after it."""

import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gristmill.cli.output import Json, say, write_json

if TYPE_CHECKING:
    from gristmill.db.engine import Database
    from gristmill.settings import Settings

DATA_FOLDER = Path(".gristmill")
# Apart from what `gristmill run` uses: its worker would take the demo's jobs, and its API keys would shut the demo out.
DEMO_FOLDER = Path(".gristmill-demo")

DataFolder = Annotated[Path, typer.Option("--data", help="Folder of this machine's own PostgreSQL and S3.")]


def with_settings(data: Path, work: "Callable[[Settings], Coroutine[Any, Any, int | None]]") -> None:
    """Run `work` with the settings (this machine's own services held where none are named) and exit with its code."""
    import uvloop

    from gristmill.bootstrap import configured
    from gristmill.telemetry import configure_logging

    with configured(data) as settings:
        configure_logging(settings.log_level, settings.log_format)
        code = uvloop.run(work(settings))
    raise typer.Exit(code or 0)


@asynccontextmanager
async def owning(settings: "Settings") -> AsyncIterator["Database"]:
    """The database as who owns its tables: API keys are nobody else's.

    Raises:
        ConfigurationError: the login is somebody else's.
    """
    import asyncpg

    from gristmill.db.engine import Database
    from gristmill.errors import ConfigurationError

    try:
        async with Database.open(settings.for_migration()) as database:
            yield database
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigurationError(
            "The login may not do this: give POSTGRES_MIGRATION_USER and its password (docs/how-to/database-roles.md)."
        ) from error


def api(data: DataFolder = DATA_FOLDER) -> None:
    """Serve the REST API."""
    from gristmill.api.app import serve

    with_settings(data, serve)


def worker(data: DataFolder = DATA_FOLDER) -> None:
    """Claim jobs and run them, CONCURRENCY at a time."""
    from gristmill.worker.supervisor import run_worker

    with_settings(data, run_worker)


def run(data: DataFolder = DATA_FOLDER) -> None:
    """Run the API and a worker until Ctrl-C; with RELOAD=1 they restart when the code changes."""
    import uvloop

    from gristmill.bootstrap import configured, prepare
    from gristmill.run import run_all
    from gristmill.telemetry import configure_logging

    say("Gristmill starts; the first time it makes its databases")
    with configured(data) as settings:
        configure_logging(settings.log_level, settings.log_format)
        uvloop.run(prepare(settings))
        run_all(settings, reload=os.environ.get("RELOAD") == "1")


def demo(
    data: DataFolder = DEMO_FOLDER,
    out: Annotated[Path, typer.Option(help="Folder for the results and the picture.")] = Path("demo-out"),
    *,
    as_json: Json = False,
) -> None:
    """Run the main job on real data, from upload to picture, and stop everything again."""
    import uvloop

    from gristmill import embedded
    from gristmill.bootstrap import prepare
    from gristmill.errors import ConfigurationError
    from gristmill.settings import load_settings
    from gristmill.telemetry import configure_logging

    # The demo's libraries come with an extra that a server does without.
    try:
        from gristmill.demo import run_demo
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"The demo needs {error.name}: `pip install 'gristmill[demo]'`") from error

    @contextmanager
    def prepared() -> Iterator[dict[str, str]]:
        # Services of its own, whatever `.env` names: a demo has no business in anybody's production.
        with embedded.hold(data) as endpoints:
            settings = load_settings(endpoints.environment(), env_file=None)
            configure_logging("warning", "console")
            uvloop.run(prepare(settings))
            yield {**os.environ, **settings.environment()}

    raise typer.Exit(run_demo(prepared, out, as_json=as_json))


def examine(data: DataFolder = DATA_FOLDER, *, as_json: Json = False) -> None:
    """Say what is reachable, what is not, and how to mend it."""
    from gristmill import doctor

    async def work(settings: "Settings") -> int:
        findings = await doctor.examine(settings)
        write_json(findings) if as_json else typer.echo(doctor.report(findings))
        return 0 if all(finding.well for finding in findings) else 1

    with_settings(data, work)


def audit(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many events.")] = 100,
    data: DataFolder = DATA_FOLDER,
    *,
    as_json: Json = False,
) -> None:
    """List what happened to API keys and what was deleted, newest first."""
    from gristmill.db.audit import list_audit

    async def work(settings: "Settings") -> None:
        async with owning(settings) as database:
            events = await list_audit(database, limit=limit)
        if as_json:
            write_json(events)
            return
        for event in events:
            by = f"  by {event.key_id}" if event.key_id else ""
            why = f"  ({event.reason})" if event.reason else ""
            typer.echo(f"{event.at:%Y-%m-%dT%H:%M:%SZ}  {event.action}  {event.subject}  {event.owner}{by}{why}")

    with_settings(data, work)
