"""Uploads as a client sends them that costs next to nothing: bytes go from a file to a socket inside the kernel."""

import http.client
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benches.api.servers import Running
from gristmill.settings import MIB

GIVE_UP_S = 600


@dataclass(frozen=True)
class Sent:
    dataset_id: str
    seconds: float


def upload(api: Running, path: Path) -> Sent:
    """One upload, raw. `seconds`: from its first byte to the answer."""
    head = (
        f"POST /datasets?name=bench&format=csv HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {path.stat().st_size}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", api.port), timeout=GIVE_UP_S) as connection, path.open("rb") as file:
        begun = time.monotonic()
        connection.sendall(head.encode())
        connection.sendfile(file)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        told = json.loads(answer.read())
        seconds = time.monotonic() - begun
    assert answer.status == 201, told
    assert told["size_bytes"] == path.stat().st_size
    return Sent(told["id"], seconds)


def upload_many(api: Running, path: Path, count: int) -> list[Sent]:
    """So many uploads of the same file at once."""
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(lambda _: upload(api, path), range(count)))


def write_file(path: Path, mib: int) -> Path:
    """Bytes that look like text and compress like it."""
    block = b"".join(b"%08d,%08d,Oslo,4.5\n" % (n, n * 7919 % 99_999_989) for n in range(MIB // 27))
    block = block.ljust(MIB, b"\n")
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(block)
    return path
