"""Promise: an upload that is wrong, too large or cut off leaves nothing: no row, no object, no incomplete upload."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from gristmill.db.engine import Database
from gristmill.objects import ObjectStore
from gristmill.settings import Settings
from tests.api.serving import Served, serving, until

CSV = b"city,temperature\nOslo,4.5\nLima,19\n"
TYPE = {"Content-Type": "text/csv"}
MIB = 1024 * 1024


def digest_of(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


@pytest.fixture
async def nothing_left(
    served: Served, client: httpx.AsyncClient, database: Database, store: ObjectStore, settings: Settings
) -> AsyncIterator[None]:
    """Whatever the test did: no dataset, no upload row, and nothing of what was begun in the bucket."""
    bucket = settings.s3_datasets_bucket
    yield
    await until(lambda: empty(database, "uploads"))
    assert await empty(database, "datasets")
    for line in served.logged().splitlines():
        if "upload.dropped" in line:
            prefix = f"{json.loads(line)['dataset_id']}/"
            assert [key async for key in store.list_keys(bucket, prefix)] == []
            assert [upload async for upload in store.list_uploads(bucket, prefix)] == []


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("header", ["Repr-Digest", "Content-Digest"])
async def test_a_wrong_digest_is_refused(client: httpx.AsyncClient, header: str) -> None:
    content = CSV * 400_000  # more than one part
    answer = await client.post("/datasets", content=content, headers={**TYPE, header: digest_of(b"other")})
    assert answer.status_code == 422, answer.text
    assert answer.json()["type"] == "urn:gristmill:problem:digest-mismatch"


@pytest.mark.usefixtures("nothing_left")
async def test_a_wrong_digest_of_a_form_is_refused(client: httpx.AsyncClient) -> None:
    headers = {"Repr-Digest": digest_of(b"other")}
    answer = await client.post("/datasets", files={"file": ("a.csv", CSV)}, headers=headers)
    assert answer.status_code == 422, answer.text


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    "digest", ["sha-256=:AAAA:", "sha-256=xyz", "md5=AAAA", "sha-256", "sha-512=:AA:, sha-256", "sha-256=:A:"]
)
async def test_a_digest_that_cannot_be_checked_is_refused(client: httpx.AsyncClient, digest: str) -> None:
    answer = await client.post("/datasets", content=CSV, headers={**TYPE, "Repr-Digest": digest})
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:gristmill:problem:malformed-request")


@pytest.mark.usefixtures("nothing_left")
async def test_an_empty_file_is_refused(client: httpx.AsyncClient) -> None:
    raw = await client.post("/datasets", content=b"", headers=TYPE)
    form = await client.post("/datasets", files={"file": ("a.csv", b"")})
    for answer in (raw, form):
        assert answer.status_code == 422, answer.text
        assert answer.json()["detail"] == "empty file"


@pytest.mark.usefixtures("nothing_left")
async def test_an_upload_over_the_limit_is_refused(client: httpx.AsyncClient, settings: Settings) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(settings.max_upload_bytes // MIB + 1):
            yield b"1" * MIB

    announced = await client.post("/datasets", content=b"1" * (settings.max_upload_bytes + 1), headers=TYPE)
    unannounced = await client.post("/datasets", content=endless(), headers=TYPE)
    form = await client.post("/datasets", files={"file": ("a.csv", b"1" * (settings.max_upload_bytes + 1))})
    for answer in (announced, unannounced, form):
        assert answer.status_code == 413, answer.text
        assert str(settings.max_upload_bytes) in answer.json()["detail"]
    assert (await client.get("/health/live")).status_code == 200


@pytest.mark.usefixtures("nothing_left")
async def test_a_form_that_is_cut_off_is_refused(client: httpx.AsyncClient) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n' + CSV
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    for body in (head, b"nonsense", b""):
        answer = await client.post("/datasets", content=body, headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:gristmill:problem:malformed-request")
    unbound = await client.post("/datasets", content=head, headers={"Content-Type": "multipart/form-data"})
    assert unbound.status_code == 400


@pytest.mark.usefixtures("nothing_left")
async def test_a_field_that_is_a_file_in_size_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/datasets", files={"file": ("a.csv", CSV)}, data={"name": "x" * 100_000})
    assert answer.status_code == 413, answer.text


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("kind", ["raw", "form"])
async def test_a_client_that_vanishes_leaves_nothing(
    served: Served, database: Database, store: ObjectStore, settings: Settings, kind: str
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    media_type = "text/csv" if kind == "raw" else "multipart/form-data; boundary=b"
    head = b"" if kind == "raw" else b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    writer.write(
        b"POST /datasets HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: "
        + media_type.encode()
        + b"\r\nContent-Length: 20000000\r\n\r\n"
        + head
    )
    writer.write(b"1,2\n" * 4_500_000)  # two parts are on their way to the bucket
    await writer.drain()
    bucket = settings.s3_datasets_bucket

    async def begun() -> bool:
        async with database.driver() as driver:
            upload_id = await driver.fetchval("SELECT id FROM uploads")
        return upload_id is not None and bool([one async for one in store.list_uploads(bucket, f"{upload_id}/")])

    await until(begun)
    writer.transport.abort()
    await until(lambda: empty(database, "uploads"))
    assert "upload-aborted" in served.logged()
    assert '"level": "error"' not in served.logged()


@pytest.fixture(scope="module")
def strict(module_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with little patience, on the same database."""
    environment = {**module_environment, "UPLOAD_IDLE_S": "0.5", "UPLOAD_MIN_RATE": "1000"}
    with serving(environment, tmp_path_factory.mktemp("strict") / "log") as running:
        yield running


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(("pause_s", "why"), [(0.02, "bytes a second"), (5, "Nothing came")])
async def test_a_client_that_trickles_or_stops_is_sent_away(
    strict: Served, database: Database, store: ObjectStore, settings: Settings, pause_s: float, why: str
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", strict.port)
    writer.write(
        b"POST /datasets HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/csv\r\nContent-Length: 20000000\r\n\r\n"
    )
    writer.write(b"1,2\n" * 1_500_000)  # a part is on its way to the bucket

    async def trickle() -> None:
        while True:
            writer.write(b"1\n")
            await writer.drain()
            await asyncio.sleep(pause_s)

    trickling = asyncio.create_task(trickle())
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
    trickling.cancel()
    await asyncio.wait({trickling})
    assert head.startswith(b"HTTP/1.1 408 ")
    problem = json.loads(await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0])))
    assert problem["type"] == "urn:gristmill:problem:upload-stalled"
    assert why in problem["detail"]
    writer.transport.abort()
    await until(lambda: empty(database, "uploads"))
    dropped = [json.loads(line)["dataset_id"] for line in strict.logged().splitlines() if "upload.dropped" in line]
    assert dropped
    for dataset_id in dropped:
        prefix = f"{dataset_id}/"
        assert [key async for key in store.list_keys(settings.s3_datasets_bucket, prefix)] == []
        assert [one async for one in store.list_uploads(settings.s3_datasets_bucket, prefix)] == []


async def test_a_slow_client_that_is_fast_enough_is_waited_for(strict: Served, database: Database) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(15):
            yield b"1,2\n" * 100
            await asyncio.sleep(0.1)

    async with httpx.AsyncClient(base_url=strict.url, timeout=30) as client:
        answer = await client.post("/datasets", content=chunks(), headers=TYPE)
    assert answer.status_code == 201, answer.text
    await clear(database)


async def test_a_right_digest_is_taken(client: httpx.AsyncClient, database: Database) -> None:
    for header in ("Repr-Digest", "Content-Digest"):
        answer = await client.post("/datasets", content=CSV, headers={**TYPE, header: digest_of(CSV)})
        assert answer.status_code == 201, answer.text
    unknown = await client.post("/datasets", content=CSV, headers={**TYPE, "Repr-Digest": "md5=:AAAA:"})
    assert unknown.status_code == 201, "what is not known is ignored"
    both = f"sha-512=:AAAA:, {digest_of(CSV)};q=1"
    form = await client.post("/datasets", files={"file": ("a.csv", CSV)}, headers={"Repr-Digest": both})
    assert form.status_code == 201, form.text
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n' + CSV + b"\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Digest": digest_of(body)}
    whole = await client.post("/datasets", content=body, headers=headers)
    assert whole.status_code == 201, whole.text
    await clear(database)


async def test_a_client_may_ask_before_it_sends(served: Served, database: Database) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(
        b"POST /datasets?name=asked HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/csv\r\nConnection: close\r\n"
        b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(CSV)
    )
    assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
    assert await reader.readline() == b"\r\n"
    writer.write(CSV)
    assert b"201 Created" in await reader.readline()
    await reader.read()
    writer.close()
    await writer.wait_closed()
    await clear(database)


async def test_a_client_that_asks_is_refused_before_it_sends(served: Served, settings: Settings) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(
        b"POST /datasets HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/csv\r\nConnection: close\r\n"
        b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (settings.max_upload_bytes + 1)
    )
    assert b"413" in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def empty(database: Database, table: str) -> bool:
    async with database.driver() as driver:
        return bool(await driver.fetchval(f"SELECT count(*) = 0 FROM {table}"))  # noqa: S608 - our own names


async def clear(database: Database) -> None:
    async with database.driver() as driver:
        await driver.execute("TRUNCATE datasets, jobs CASCADE")
