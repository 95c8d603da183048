"""The entrance: what was typed is done, and what goes wrong is a message and an exit code."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from gristmill.cli import app
from gristmill.cli.exits import Exit
from gristmill.errors import GristmillError, Unavailable


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Errors of ours are a message and an exit code; a trace is for defects."""
    try:
        yield
    except GristmillError as error:
        sys.stderr.write(f"gristmill: {error.detail}\n")
        sys.exit(Exit.UNREACHABLE if isinstance(error, Unavailable) else Exit.FAILED)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "gristmill":
            raise
        sys.stderr.write(f"gristmill: this needs {error.name}: {_extra()}\n")
        sys.exit(Exit.USAGE)
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)


def _extra() -> str:
    """What to install for the command that was typed."""
    extra = "local" if {"profile", "run-local"} & set(sys.argv[1:2]) else "server"
    return f"pip install 'gristmill[{extra}]'"


def main() -> None:
    with _plain_errors():
        app(prog_name="gristmill")  # by that name the shell completes it, however it was started


if __name__ == "__main__":
    main()
