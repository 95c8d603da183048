"""A CSV of 200 MB (100 MB with flaws) is ingested in less than 512 MB of memory."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = """
import sys
from pathlib import Path
from gristmill.domain.dataset import DataFormat
from gristmill.ingest import IngestOptions, Limits, ingest
from tests.ingest.folder import Folder

original, folder = Path(sys.argv[1]), Path(sys.argv[2])
(folder / "scratch").mkdir()
found = ingest(
    lambda: original.open("rb"), declared=DataFormat.CSV, size_bytes=original.stat().st_size, options=IngestOptions(),
    limits=Limits(), scratch=folder / "scratch", output=Folder(folder), progress=lambda _: None,
)
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(found.rows_loaded, found.rows_rejected, peak.split()[1])
"""


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
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(original), str(tmp_path)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    loaded, rejected, peak_kib = map(int, run.stdout.split())
    assert loaded + rejected == (original.read_bytes().count(b"\n") - 1)
    assert (rejected > 0) == (every is not None)
    assert peak_kib < 512 * 1024
