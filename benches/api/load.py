"""The load: wrk, one thread of it, in a closed loop over some connections."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("load.lua")
# More than the pool of either side has, so that both always have somebody waiting for a connection.
CONNECTIONS = 16


@dataclass(frozen=True)
class Load:
    """What wrk found: requests per second, and latencies in ms."""

    requests: int
    per_s: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, kw_only=True)
class Requests:
    """What is sent. `paths` take turns; `body` is JSON in which @ becomes another number each time."""

    paths: list[str]
    method: str = "GET"
    authorization: str = ""
    body: str = ""


def check_tool() -> None:
    if shutil.which("wrk") is None:
        sys.exit("wrk, which makes the load, is missing. On Debian: apt-get install wrk")


class Sender:
    """Sends one kind of requests to one server after another."""

    def __init__(self, requests: Requests, folder: Path) -> None:
        self._requests = requests
        self._paths = folder / "paths"
        self._paths.write_text("\n".join(requests.paths) + "\n")
        self._sent = 0

    def send(self, url: str, *, seconds: float, connections: int = CONNECTIONS) -> Load:
        """Load a server for a while. Every answer has to be what was asked for."""
        own = self._requests
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "30s", "-s", str(SCRIPT), url]
        given = ["--", own.method, str(self._paths), own.authorization, own.body, str(self._sent)]
        ended = subprocess.run([*command, *given], check=True, capture_output=True, text=True)
        told = json.loads(ended.stdout.splitlines()[-1])
        assert told["refused"] == told["broken"] == 0, f"{url}: {ended.stdout}"
        # Requests under way at the end were made and not counted.
        self._sent += told["requests"] + 10 * connections
        return Load(told["requests"], told["requests"] / told["us"] * 1e6, told["p50_us"] / 1e3, told["p99_us"] / 1e3)
