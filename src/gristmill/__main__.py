"""The command line, and the one place where everything is put together."""

import asyncio
import os
import secrets
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from gristmill import __version__, doctor, embedded
from gristmill.api.app import serve
from gristmill.bootstrap import DATA_FOLDER, add_bootstrap_key, configured, prepare
from gristmill.db.audit import list_audit
from gristmill.db.engine import Database
from gristmill.db.keys import add_key, list_keys, revoke_key, rotate_key
from gristmill.db.migrations import alembic_config, upgrade
from gristmill.domain.key import KeyUse, Scope, make_key
from gristmill.errors import ConfigurationError, GristmillError
from gristmill.objects import ObjectStore
from gristmill.run import run_all
from gristmill.settings import Settings, load_settings
from gristmill.telemetry import configure_logging
from gristmill.worker.supervisor import run_worker

app = typer.Typer(
    help="Gristmill turns uploaded datasets into results.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
keys_app = typer.Typer(help="Make, list, rotate and revoke API keys.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")

DataFolder = Annotated[Path, typer.Option("--data", help="Folder of this machine's own PostgreSQL and S3.")]
INTERRUPTED = 130
# Apart from what `gristmill run` uses: its worker would take the demo's jobs, and its API keys would shut the demo out.
DEMO_FOLDER = Path(".gristmill-demo")


def with_settings(data: Path, work: Callable[[Settings], Coroutine[Any, Any, int | None]]) -> None:
    """Run `work` with the settings (this machine's own services held where none are named) and exit with its code."""
    with configured(data) as settings:
        configure_logging(settings.log_level, settings.log_format)
        code = uvloop.run(work(settings))
    raise typer.Exit(code or 0)


@app.command()
def api(data: DataFolder = DATA_FOLDER) -> None:
    """Serve the REST API."""
    with_settings(data, serve)


@app.command()
def worker(data: DataFolder = DATA_FOLDER) -> None:
    """Claim jobs and run them, CONCURRENCY at a time."""
    with_settings(data, run_worker)


@app.command()
def run(data: DataFolder = DATA_FOLDER) -> None:
    """Run the API and a worker until Ctrl-C; with RELOAD=1 they restart when the code changes."""
    with configured(data) as settings:
        configure_logging(settings.log_level, settings.log_format)
        uvloop.run(prepare(settings))
        run_all(settings, reload=os.environ.get("RELOAD") == "1")


@app.command()
def demo(
    data: DataFolder = DEMO_FOLDER,
    out: Annotated[Path, typer.Option(help="Folder for the results and the picture.")] = Path("demo-out"),
) -> None:
    """Run the main job on real data, from upload to picture, and stop everything again."""
    # The demo's libraries come with an extra that a server does without.
    try:
        from gristmill.demo import run_demo  # noqa: PLC0415
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

    raise typer.Exit(run_demo(prepared, out))


@app.command()
def migrate(data: DataFolder = DATA_FOLDER) -> None:
    """Bring the database's schema to this version, and make sure that the bootstrap key exists."""

    async def work(settings: Settings) -> None:
        await upgrade(settings)
        await add_bootstrap_key(settings)

    with_settings(data, work)


@app.command()
def buckets(data: DataFolder = DATA_FOLDER) -> None:
    """Create the two buckets where they are missing."""

    async def work(settings: Settings) -> None:
        async with ObjectStore.open(settings) as store:
            await store.ensure_buckets()

    with_settings(data, work)


@app.command()
def migration(
    message: Annotated[str, typer.Option("-m", "--message", help="What changes, in a few words.")],
    data: DataFolder = DATA_FOLDER,
) -> None:
    """Write a new migration from the difference between the models and the database."""
    from alembic import command  # noqa: PLC0415 - every command would carry it

    with configured(data) as settings:
        asyncio.run(upgrade(settings))
        command.revision(alembic_config(settings), message, autogenerate=True)


@app.command()
def check_migrations(data: DataFolder = DATA_FOLDER) -> None:
    """Fail when the models say something that no migration does."""
    from alembic import command  # noqa: PLC0415 - every command would carry it

    with configured(data) as settings:
        asyncio.run(upgrade(settings))
        command.check(alembic_config(settings))


@app.command(name="doctor")
def examine(data: DataFolder = DATA_FOLDER) -> None:
    """Say what is reachable, what is not, and how to mend it."""

    async def work(settings: Settings) -> int:
        findings = await doctor.examine(settings)
        typer.echo(doctor.report(findings))
        return 0 if all(finding.well for finding in findings) else 1

    with_settings(data, work)


@app.command()
def reset(data: DataFolder = DATA_FOLDER) -> None:
    """Wipe this machine's own PostgreSQL and S3 with all that is in them, and the demo's."""
    for folder in (data, DEMO_FOLDER):
        embedded.reset(folder)


@app.command(name="secrets")
def write_secrets(file: Annotated[Path, typer.Option(help="Where to write them.")] = Path(".env")) -> None:
    """Write generated passwords and a first API key for a deployment; an existing file stays as it is."""
    if file.exists():
        typer.echo(f"{file} is there already; nothing was changed")
        return
    token, _ = make_key("admin", tuple(Scope))
    lines = (
        f"POSTGRES_PASSWORD={secrets.token_urlsafe(24)}",
        "MINIO_ROOT_USER=gristmill",
        f"MINIO_ROOT_PASSWORD={secrets.token_urlsafe(24)}",
        f"BOOTSTRAP_API_KEY={token}",
    )
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as target:
        target.write("\n".join(lines) + "\n")
    typer.echo(f"Wrote {file} (only you can read it); the first API key is its BOOTSTRAP_API_KEY")


@keys_app.command()
def create(
    owner: Annotated[str, typer.Option(help="Whose datasets and jobs the key reaches.")],
    scope: Annotated[list[Scope] | None, typer.Option(help="May be given twice; default: read and write.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires; default: never.")] = None,
    data: DataFolder = DATA_FOLDER,
) -> None:
    """Make an API key and print it, once: only its digest is kept."""
    scopes = scope or [Scope.READ, Scope.WRITE]
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    token, key = make_key(owner, scopes, expires_at=expires_at)

    async def work(settings: Settings) -> None:
        async with Database.open(settings.for_migration()) as database:
            await add_key(database, key)
        typer.echo(token)

    with_settings(data, work)


@keys_app.command(name="list")
def list_all(data: DataFolder = DATA_FOLDER) -> None:
    """List the keys that are not revoked."""

    async def work(settings: Settings) -> None:
        async with Database.open(settings.for_migration()) as database:
            for key in await list_keys(database):
                typer.echo(_told(key))

    with_settings(data, work)


def _told(use: KeyUse) -> str:
    key = use.key
    expiry = f"expires {key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else "never expires"
    last = f"used {use.last_used_at:%Y-%m-%d %H}h" if use.last_used_at else "never used"
    replaced = f"  replaced by {use.replaced_by}" if use.replaced_by else ""
    return f"{key.id}  {key.owner}  {','.join(key.scopes)}  {expiry}  {last}{replaced}"


@keys_app.command()
def rotate(
    key_id: str,
    overlap_h: Annotated[float, typer.Option(min=0, max=24 * 90, help="Hours that the old key stays valid.")] = 24.0,
    data: DataFolder = DATA_FOLDER,
) -> None:
    """Make a key that takes over from another, and print it, once; the old one expires after the overlap."""

    async def work(settings: Settings) -> int:
        async with Database.open(settings.for_migration()) as database:
            token = await rotate_key(database, key_id, overlap_s=overlap_h * 3600)
        typer.echo(token or "no such key, or it was rotated already", err=token is None)
        return 0 if token else 1

    with_settings(data, work)


@app.command()
def audit(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many events.")] = 100,
    data: DataFolder = DATA_FOLDER,
) -> None:
    """List what happened to API keys and what was deleted, newest first."""

    async def work(settings: Settings) -> None:
        async with Database.open(settings.for_migration()) as database:
            for event in await list_audit(database, limit=limit):
                by = f"  by {event.key_id}" if event.key_id else ""
                why = f"  ({event.reason})" if event.reason else ""
                typer.echo(f"{event.at:%Y-%m-%dT%H:%M:%SZ}  {event.action}  {event.subject}  {event.owner}{by}{why}")

    with_settings(data, work)


@keys_app.command()
def revoke(key_id: str, data: DataFolder = DATA_FOLDER) -> None:
    """Revoke a key, at once."""

    async def work(settings: Settings) -> int:
        async with Database.open(settings.for_migration()) as database:
            known = await revoke_key(database, key_id)
        typer.echo("revoked" if known else "no such key", err=not known)
        return 0 if known else 1

    with_settings(data, work)


def _show_version(asked: bool) -> None:  # noqa: FBT001 (the shape typer calls)
    if asked:
        typer.echo(f"gristmill {__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Gristmill turns uploaded datasets into results."""


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Errors of ours are a message and an exit code; a trace is for defects."""
    try:
        yield
    except GristmillError as error:
        sys.stderr.write(f"gristmill: {error.detail}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def main() -> None:
    with _plain_errors():
        app()


if __name__ == "__main__":
    main()
