"""All commands by name, in the order and under the headings in which `--help` lists them."""

from collections.abc import Callable
from typing import Annotated

import typer

from gristmill import __version__
from gristmill.cli import datasets, jobs, keys, local, results, server, submit, top, upkeep

CLIENT, LOCAL, SERVER, UPKEEP = "With a server", "Without a server", "Running a server", "Upkeep"

COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    CLIENT: {
        "submit": submit.submit,
        "watch": submit.watch,
        "result": results.result,
        "jobs": jobs.jobs,
        "cancel": jobs.cancel,
        "retry": jobs.retry,
        "datasets": datasets.datasets,
        "kinds": jobs.kinds,
        "top": top.top,
    },
    LOCAL: {"profile": local.profile, "run-local": local.run_local},
    SERVER: {
        "api": server.api,
        "worker": server.worker,
        "run": server.run,
        "demo": server.demo,
        "doctor": server.examine,
    },
    UPKEEP: {
        "migrate": upkeep.migrate,
        "buckets": upkeep.buckets,
        "secrets": upkeep.write_secrets,
        "audit": server.audit,
        "reset": upkeep.reset,
        "migration": upkeep.migration,
        "check-migrations": upkeep.check_migrations,
    },
}
KEYS: dict[str, Callable[..., None]] = {
    "create": keys.create,
    "list": keys.list_all,
    "rotate": keys.rotate,
    "revoke": keys.revoke,
}

# Every other command has --json (a test sees to it).
WITHOUT_JSON = dict.fromkeys(
    ("api", "worker", "run"),
    "runs until it is stopped and answers nothing; its log goes to standard error, as JSON with LOG_FORMAT=json",
)

app = typer.Typer(
    help="Gristmill turns uploaded datasets into results.",
    epilog="Exit codes: 0 done, 1 failed, 2 misused, 3 unreachable, 4 refused, 5 canceled, 6 timed out, 130 stopped.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
keys_app = typer.Typer(help="Make, list, rotate and revoke API keys.", no_args_is_help=True)
for panel, commands in COMMANDS.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=panel)(command)
for name, command in KEYS.items():
    keys_app.command(name)(command)
app.add_typer(keys_app, name="keys", rich_help_panel=UPKEEP)


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
