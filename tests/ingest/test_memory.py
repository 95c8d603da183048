"""A CSV of 200 MB (100 MB with flaws) and a JSON array of 60 MB are ingested in less than 512 MB of memory."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = """
import sys
from pathlib import Path
from gristmill.domain.dataset import DataFormat
from gristmill.ingest.options import IngestOptions, Limits
from gristmill.ingest.run import ingest
from tests.ingest.folder import Folder

original, folder = Path(sys.argv[1]), Path(sys.argv[2])
(folder / "scratch").mkdir()
found = ingest(
    lambda: original.open("rb"), declared=DataFormat(sys.argv[3]), size_bytes=original.stat().st_size,
    options=IngestOptions(), limits=Limits(),
    scratch=folder / "scratch", output=Folder(folder), progress=lambda _: None,
)
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(found.rows_loaded, found.rows_rejected, peak.split()[1])
"""


def _ingested(original: Path, folder: Path, declared: str) -> tuple[int, int, int]:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(original), str(folder), declared],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    loaded, rejected, peak_kib = map(int, run.stdout.split())
    return loaded, rejected, peak_kib


@pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is read from /proc")
@pytest.mark.parametrize("every", [None, 2000], ids=["regular", "ragged"])
def test_memory_is_bounded(tmp_path: Path, generated: Callable[[int], bytes], every: int | None) -> None:
    original = tmp_path / "original.csv"
    block = generated(100_000).split(b"\n", 1)
    rows = block[1].splitlines(keepends=True)
    if every is not None:
        rows[::every] = [b'1,2,"stray\n'] * len(rows[::every])
    with original.open("wb") as file:
        file.write(block[0] + b"\n")
        while file.tell() < (200_000_000 if every is None else 100_000_000):
            file.writelines(rows)
    loaded, rejected, peak_kib = _ingested(original, tmp_path, "csv")
    assert loaded + rejected == (original.read_bytes().count(b"\n") - 1)
    assert (rejected > 0) == (every is not None)
    assert peak_kib < 512 * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is read from /proc")
def test_memory_is_bounded_for_an_array_on_one_line(tmp_path: Path) -> None:
    original = tmp_path / "original.json"
    rows = b",".join(b'{"id":%d,"x":%d.5,"word":"w%d"}' % (place, place, place % 97) for place in range(100_000))
    with original.open("wb") as file:
        file.write(b"[" + b",".join([rows] * 16) + b"]")
    loaded, rejected, peak_kib = _ingested(original, tmp_path, "json")
    assert (loaded, rejected) == (1_600_000, 0)
    assert peak_kib < 512 * 1024
