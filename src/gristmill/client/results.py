"""Results: downloaded whole and checked against their digest, or read as a Polars frame."""

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from gristmill.client.documents import Problem, ResultFile, ResultInfo
from gristmill.client.errors import ClientError, Forbidden, NeedsPolars, NoRows, WrongBytes
from gristmill.client.exchange import Exchange
from gristmill.client.transport import Request

if TYPE_CHECKING:
    import polars as pl

# A URL that ends so soon is not begun with.
SPARE = timedelta(seconds=10)

OnReceived = Callable[[int], object]


async def look(exchange: Exchange, job_id: str) -> ResultInfo:
    return await exchange.get(ResultInfo, f"/jobs/{job_id}/result")


async def download(
    exchange: Exchange,
    file: ResultFile,
    *,
    to: Path,
    job_id: str | None = None,
    on_received: OnReceived = lambda received: None,
) -> Path:
    """Stream a file to `to`. It appears there only whole, and only if size and SHA-256 are as promised.

    With `job_id` a URL that has run out is asked for again. Raises WrongBytes.
    """
    partial = to.with_name(f"{to.name}.partial")
    attempt = 1
    try:
        while True:
            if job_id is not None and _ended(file):
                file = await _fresh(exchange, job_id, file)
            try:
                await _fetch(exchange, file, partial, on_received)
                return await exchange.transport.do(lambda: partial.replace(to))
            except Forbidden:
                # The store's clock is another than ours.
                if job_id is None or attempt > 1:
                    raise
                file = await _fresh(exchange, job_id, file)
            except ClientError as error:
                await exchange.pause(attempt, error)
            attempt += 1
    finally:
        await exchange.transport.do(lambda: partial.unlink(missing_ok=True))


async def _fetch(exchange: Exchange, file: ResultFile, target: Path, on_received: OnReceived) -> None:
    digest, received = hashlib.sha256(), 0
    request = Request(method="GET", url=file.url, to_store=True)
    with target.open("wb") as sink:
        async with exchange.stream(request) as streamed:
            async for chunk in streamed.chunks():
                await exchange.transport.do(lambda piece=chunk: _keep(piece, sink, digest))  # type: ignore[misc]
                received += len(chunk)
                on_received(received)
    if (received, digest.hexdigest()) != (file.size_bytes, file.sha256):
        raise WrongBytes(f"{file.name}: {received} bytes came that are not the {file.size_bytes} promised.")


def _keep(piece: bytes, sink: IO[bytes], digest: Any) -> None:
    digest.update(piece)
    sink.write(piece)


def _ended(file: ResultFile) -> bool:
    return file.url_expires_at is not None and file.url_expires_at < datetime.now(UTC) + SPARE


async def _fresh(exchange: Exchange, job_id: str, file: ResultFile) -> ResultFile:
    found = {fresh.name: fresh for fresh in (await look(exchange, job_id)).files}
    if file.name not in found:
        raise WrongBytes(f"{file.name} is not among the files of the result any more.")
    return found[file.name]


def place_of(file: ResultFile, to: Path) -> Path:
    """Where a file goes: to `to` itself, or into it if that is a folder. A name never leads out of it."""
    return to / Path(file.name).name if to.is_dir() else to


async def download_all(
    exchange: Exchange, job_id: str, files: Sequence[ResultFile], *, folder: Path, on_received: OnReceived
) -> list[Path]:
    """All files into a folder, which is made where it is missing. `on_received` gets the bytes of all so far."""
    await exchange.transport.do(lambda: folder.mkdir(parents=True, exist_ok=True))
    paths, before = [], 0
    for file in files:
        place = folder / Path(file.name).name
        whole = before
        path = await download(
            exchange,
            file,
            to=place,
            job_id=job_id,
            on_received=lambda now, done=whole: on_received(done + now),  # type: ignore[misc]
        )
        paths.append(path)
        before += file.size_bytes
    return paths


async def to_polars(exchange: Exchange, job_id: str, info: ResultInfo) -> "pl.DataFrame":
    """All tables of a result as one frame, in their order.

    Raises:
        NeedsPolars: it is not installed.
        NoRows: the result is a report alone.
    """
    try:
        import polars as pl  # noqa: PLC0415 (the client does without it)
    except ModuleNotFoundError:
        raise NeedsPolars from None
    if not info.tables:
        raise NoRows(Problem(type="urn:gristmill:problem:no-rows", status=404, detail="The result has no rows."))
    with tempfile.TemporaryDirectory(prefix="gristmill-") as folder:
        paths = await download_all(
            exchange, job_id, info.tables, folder=Path(folder), on_received=lambda received: None
        )
        return await exchange.transport.do(lambda: pl.concat([_read(pl, path) for path in paths], how="vertical"))


def _read(polars: Any, path: Path) -> "pl.DataFrame":
    readers = {
        ".parquet": polars.read_parquet,
        ".arrow": polars.read_ipc,
        ".ndjson": polars.read_ndjson,
        ".csv": lambda file: polars.read_csv(file, infer_schema_length=None, try_parse_dates=True),
    }
    # Not mapped into memory: the file goes when we are done.
    with path.open("rb") as file:
        frame: pl.DataFrame = readers[path.suffix](file)
    return frame
