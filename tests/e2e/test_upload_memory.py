"""Promise: the API's memory stays flat while much comes in, in one upload or in many, and the bytes are right."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.serving import Served, serving

MIB = 1024 * 1024
SIZE_MIB = 200
LIMIT_KIB = 200_000_000 // 1024
MANY, PAUSED, EACH_MIB = 40, 12, 8
# Ten parts of 6 MiB, less than 1 MiB for each connection, and some air. With two parts for each upload: 480 MiB.
MANY_KIB = 140 * 1024


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


async def test_memory_is_flat_while_many_come_in(served: Served) -> None:
    """And jobs are told meanwhile. Clients that pause take no room from the others, though more than there is room for
    have begun a part.
    """
    go_on = asyncio.Event()

    async def upload(content: AsyncIterator[bytes]) -> tuple[int, str]:
        answer = await client.post("/datasets", content=content, headers={"Content-Type": "text/csv"})
        told = answer.raise_for_status().json()
        return told["size_bytes"], told["sha256"]

    async def at_once() -> AsyncIterator[bytes]:
        for _ in range(EACH_MIB):
            yield whole

    async def with_a_pause() -> AsyncIterator[bytes]:
        yield whole
        await go_on.wait()
        yield whole

    whole = block(0)
    async with httpx.AsyncClient(base_url=served.url, timeout=120, limits=httpx.Limits()) as client:
        small = await client.post("/datasets", content=b"city\nOslo\n", headers={"Content-Type": "text/csv"})
        body = {"kind": "metrics", "dataset_id": small.json()["id"]}
        job = (await client.post("/jobs", json=body)).headers["Location"]
        at_rest, reads = peak_kib(served.pid), 0
        paused = [asyncio.create_task(upload(with_a_pause())) for _ in range(PAUSED)]
        many = asyncio.gather(*(upload(at_once()) for _ in range(MANY)))
        while not many.done():
            (await client.get(job)).raise_for_status()
            reads += 1
        assert await many == [(EACH_MIB * MIB, hashlib.sha256(whole * EACH_MIB).hexdigest())] * MANY
        assert not any(task.done() for task in paused)
        go_on.set()
        assert await asyncio.gather(*paused) == [(2 * MIB, hashlib.sha256(whole * 2).hexdigest())] * PAUSED
    assert reads > 0
    grown = peak_kib(served.pid) - at_rest
    assert grown < MANY_KIB, f"{grown} KiB more than at rest"
