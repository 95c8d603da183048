"""The guard: the one process a data folder that is the parent of its servers.

It lives as long as somebody holds the services. Every holder has a shared lock on `holders.lock`; the guard waits for
the exclusive one, and gets it when the last holder is gone, however it went. While it has it, newcomers wait.
"""

import fcntl
import os
import queue
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from gristmill.embedded import servers
from gristmill.embedded.places import Places, ServerUser, Services, binaries, port_is_free, write_private
from gristmill.embedded.postgres import DATABASE, ROLE, Postgres
from gristmill.embedded.report import GuardReport, locked, tail
from gristmill.embedded.seaweed import REGION, Seaweed
from gristmill.errors import EmbeddedServiceError

RESTARTS_IN_A_ROW = 5
STEADY_S = 30.0
PORT_LIMIT_S = 5.0

Event = Literal["unheld", "told to stop", "died"]


class Server(Protocol):
    """What the guard asks of a server."""

    name: str
    program: servers.Program

    def start(self) -> subprocess.Popen[bytes]: ...


def watch(folder: Path) -> None:
    """Run the servers of `folder` until nobody holds them. Does not return: the process ends, and its locks with it."""
    places = Places(folder)
    # Waits: whoever looks whether there is a guard has this lock for a moment.
    with locked(places.guard_lock, fcntl.LOCK_EX):
        if os.fork() != 0:
            os._exit(0)  # the holder who started us waits for this; the lock goes on in the child, nobody's child
        try:
            _run(places)
        except (EmbeddedServiceError, OSError) as error:
            _report(places, GuardReport(pid=os.getpid(), state="failed", error=str(error)))
            os._exit(1)
        os._exit(0)


def _run(places: Places) -> None:
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: events.put("told to stop"))
    _report(places, GuardReport(pid=os.getpid(), state="starting"))
    user = ServerUser.of_this_process()
    _stop_strays(places, user)
    services = places.plan(user)
    programs, weed = binaries(places.home(services), user)
    both: list[Server] = [Postgres(places, services, user, programs), Seaweed(places, services, user, weed)]
    running = _start(both)
    try:
        _report(places, GuardReport(pid=os.getpid(), state="ready", environment=environment(services)))
        threading.Thread(target=_wait_for_holders, args=(places, events), daemon=True).start()
        for server in both:
            _watch(running[server.name], events)
        _keep(both, running, events)
    finally:
        _report(places, GuardReport(pid=os.getpid(), state="stopping"))
        _stop(both, running)


def _stop_strays(places: Places, user: ServerUser) -> None:
    """End what a killed guard has left, before ports are looked at: theirs are used again, as holders know them."""
    services = places.read_services()
    if services is None or not (places.home(services) / "s3").exists():
        return
    nowhere = Path()  # nothing is run here
    known = Postgres(places, services, user, nowhere), Seaweed(places, services, user, nowhere)
    found = [servers.stop_stray(server.program) for server in known]
    if any(found):
        # The last thread of a killed process closes its ports a little after the process is gone.
        deadline = servers.now() + PORT_LIMIT_S
        while not all(map(port_is_free, services.ports.values())) and servers.now() < deadline:
            time.sleep(0.02)


def _start(both: list[Server]) -> dict[str, subprocess.Popen[bytes]]:
    """Both servers, side by side; both or none."""
    with ThreadPoolExecutor(len(both)) as pool:
        starts = {server.name: pool.submit(server.start) for server in both}
    running = {name: start.result() for name, start in starts.items() if start.exception() is None}
    for start in starts.values():
        if (error := start.exception()) is not None:
            _stop(both, running)
            raise error
    return running


def _keep(both: list[Server], running: dict[str, subprocess.Popen[bytes]], events: "queue.SimpleQueue[Event]") -> None:
    """Start again what dies, until the services are not held any more."""
    restarts = 0
    started = servers.now()
    while events.get() == "died":
        if servers.now() - started > STEADY_S:
            restarts = 0
        for server in both:
            if running[server.name].poll() is None:
                continue
            restarts += 1
            if restarts > RESTARTS_IN_A_ROW:
                raise EmbeddedServiceError(f"{server.name} dies again and again:\n{tail(server.program.log)}")
            running[server.name] = server.start()
            started = servers.now()
            _watch(running[server.name], events)


def _watch(process: subprocess.Popen[bytes], events: "queue.SimpleQueue[Event]") -> None:
    def wait() -> None:
        process.wait()
        events.put("died")

    threading.Thread(target=wait, daemon=True).start()


def _wait_for_holders(places: Places, events: "queue.SimpleQueue[Event]") -> None:
    """Take the exclusive lock, and keep it for good: it goes with the process, when the servers have stopped."""
    descriptor = os.open(places.holders_lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    events.put("unheld")


def _stop(both: list[Server], running: dict[str, subprocess.Popen[bytes]]) -> None:
    with ThreadPoolExecutor(len(both)) as pool:
        for server in both:
            if server.name in running:
                pool.submit(servers.stop, server.program, running[server.name])


def _report(places: Places, report: GuardReport) -> None:
    write_private(places.state_file, msgspec.json.encode(report))


def environment(services: Services) -> dict[str, str]:
    """The settings that lead to these services."""
    return {
        "POSTGRES_HOST": "127.0.0.1",
        "POSTGRES_PORT": str(services.ports["postgres"]),
        "POSTGRES_DB": DATABASE,
        "POSTGRES_USER": ROLE,
        "POSTGRES_PASSWORD": services.postgres_password,
        "S3_ENDPOINT_URL": f"http://127.0.0.1:{services.ports['s3']}",
        "S3_ACCESS_KEY_ID": services.s3_access_key_id,
        "S3_SECRET_ACCESS_KEY": services.s3_secret_access_key,
        "S3_REGION": REGION,
    }
