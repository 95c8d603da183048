"""Promise: the API's memory stays below 200 MB while 200 MB come in, raw or in a form, and the bytes are right."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.serving import Served, serving

MIB = 1024 * 1024
SIZE_MIB = 200
LIMIT_KIB = 200_000_000 // 1024


@pytest.fixture
def served(environment: dict[str, str], tmp_path: Path) -> Iterator[Served]:
    with serving(environment, tmp_path / "log") as running:
        yield running


def block(number: int) -> bytes:
    """One MiB that differs from the others, so that nothing on the way can fold them."""
    return hashlib.shake_256(number.to_bytes(8, "big")).digest(MIB // 2).hex().encode()


def body(head: bytes = b"", tail: bytes = b"") -> Iterator[bytes]:
    yield head
    for number in range(SIZE_MIB):
        yield block(number)
    yield tail


def expected_sha256() -> str:
    digest = hashlib.sha256()
    for number in range(SIZE_MIB):
        digest.update(block(number))
    return digest.hexdigest()


def peak_kib(pid: int) -> int:
    """The most memory the process ever had, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(status.split("VmHWM:")[1].split()[0])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.timeout(300)
def test_memory_is_flat_while_a_large_file_comes_in(served: Served) -> None:
    at_rest = peak_kib(served.pid)
    with httpx.Client(base_url=served.url, timeout=120) as client:
        raw = client.post("/datasets", content=body(), headers={"Content-Type": "text/csv"})
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
        form = client.post(
            "/datasets",
            content=body(head, b"\r\n--b--\r\n"),
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )
    for answer in (raw, form):
        assert answer.status_code == 201, answer.text
        assert (answer.json()["size_bytes"], answer.json()["sha256"]) == (SIZE_MIB * MIB, expected_sha256())
    assert peak_kib(served.pid) < LIMIT_KIB, f"{at_rest} KiB at rest, {peak_kib(served.pid)} KiB at the most"
