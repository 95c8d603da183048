"""`gristmill run`: the API and a worker on this machine until Ctrl-C, restarted when the code changes if asked for."""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from gristmill.processes import Processes, Program
from gristmill.settings import Settings

SOURCES = Path(__file__).parent
PROGRAMS = ("api", "worker")
ANSWER_S = 2.0
DEFAULT_PORT = Settings.model_fields["api_port"].default


def run_all(settings: Settings, *, reload: bool = False) -> None:
    """Run the API and one worker; returns never, ends by a signal.

    Raises:
        ProcessFailed: one of the two ended by itself.
    """
    environment = {**os.environ, **settings.environment()}
    with Processes(stop_limit_s=settings.soft_stop_s + 10) as processes:
        _start(processes, environment, settings)
        sys.stdout.write(_welcome(settings))
        sys.stdout.flush()
        if not reload:
            processes.wait()
        _restart_on_changes(processes, environment, settings)


def program(name: str, environment: Mapping[str, str], *, log: Path | None = None) -> Program:
    """One of our commands as a child process."""
    return Program(name, [sys.executable, "-m", "gristmill", name], environment, log)


def answers(url: str) -> bool:
    """Whether a GET of the URL answers with a 2xx."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_S):  # noqa: S310 - our own http URL
            return True  # anything but a 2xx raises
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def api_url(settings: Settings) -> str:
    host = settings.api_host if settings.loopback_only else "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.api_port}"


def _start(processes: Processes, environment: Mapping[str, str], settings: Settings) -> None:
    for name in PROGRAMS:
        processes.start(program(name, environment))
    processes.wait_ready("api", lambda: answers(f"{api_url(settings)}/health/ready"))


def _restart_on_changes(processes: Processes, environment: Mapping[str, str], settings: Settings) -> None:
    # A tool of developers; a deployment does without it.
    from watchfiles import PythonFilter, watch  # noqa: PLC0415

    for changes in watch(SOURCES, watch_filter=PythonFilter(), yield_on_timeout=True, rust_timeout=500):
        if not changes:
            processes.check()
            continue
        sys.stdout.write("The code has changed: restarting\n")
        sys.stdout.flush()
        for name in PROGRAMS:
            processes.stop(name)
        _start(processes, environment, settings)


def _where(settings: Settings) -> str:
    """What the command line has to be told of where we are."""
    return "" if settings.api_port == DEFAULT_PORT else f" --url {api_url(settings)}"


def _welcome(settings: Settings) -> str:
    url = api_url(settings)
    return f"""
Gristmill is running; Ctrl-C stops it.

  console  {url}/        drop a file there
  API      {url}/docs    each operation, to be tried
  health   {url}/health/ready

Or from a terminal:
  gristmill submit your.csv --kind anomalies --plot{_where(settings)}
  curl -F file=@your.csv {url}/datasets

"""
