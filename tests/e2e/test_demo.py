"""`gristmill demo` goes from nothing to a picture, says what is wrong when it can't, and leaves nothing running."""

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import polars as pl
import psutil
import pytest

from gristmill import embedded

MARK = "GRISTMILL_DEMO_OF_TEST"
LIMIT_S = 150.0
pytestmark = pytest.mark.timeout(400)


@dataclass
class Demo:
    """A demo under way: its process, the mark that all its processes carry, and where it writes."""

    process: "subprocess.Popen[str]"
    mark: str
    out: Path

    def until(self, words: str) -> str:
        """What it says up to the first line with `words`."""
        said = ""
        for line in self.process.stdout or ():
            said += line
            if words in line:
                return said
        raise AssertionError(f"it ended before it said {words!r}:\n{said}")

    def ends(self) -> tuple[int, str]:
        """Its exit code, and all it says from now on."""
        said, _ = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, said

    def find(self, command: str) -> psutil.Process:
        """Its process whose command line ends so, once there is one."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            for process in self.processes():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if " ".join(process.cmdline()).endswith(command):
                        return process
            time.sleep(0.01)
        raise AssertionError(f"there is no process {command!r}")

    def processes(self) -> list[psutil.Process]:
        """The processes that carry the mark, or work in the demo's data folder."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return str(self.out.parent) in " ".join(process.cmdline()) or process.environ().get(MARK) == self.mark
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    def assert_nothing_is_left(self) -> None:
        deadline = time.monotonic() + LIMIT_S
        while left := self.processes():
            assert time.monotonic() < deadline, [process.cmdline() for process in left]
            time.sleep(0.05)


@contextmanager
def demo(folder: Path) -> Iterator[Demo]:
    mark = uuid4().hex
    process = subprocess.Popen(
        [sys.executable, "-m", "gristmill", "demo", "--data", str(folder / "data"), "--out", str(folder / "out")],
        cwd=folder,
        env={**os.environ, MARK: mark, "COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    try:
        yield Demo(process, mark, folder / "out")
    finally:
        process.kill()
        process.communicate()
        if (folder / "data").is_dir():
            embedded.reset(folder / "data")  # what it keeps elsewhere too


def test_the_demo_goes_from_nothing_to_a_picture(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        code, said = running.ends()
        assert code == 0, said
        assert not running.processes(), "everything has stopped before it ends"
    assert "10,000 rows read = 10,000 loaded + 0 rejected" in said
    assert "2,836 empty cells (2.0%), 24 duplicate rows (exact)" in said
    assert "10,000 in = 9,976 out + 24 dropped" in said
    files = re.findall(r"^(\S+)  .*sha256 ([0-9a-f]{12})…$", said, re.MULTILINE)
    assert {Path(path).parent.name for path, _ in files} == {"metrics", "anomalies", "normalize"}
    for path, start in files:
        assert hashlib.sha256(Path(path).read_bytes()).hexdigest().startswith(start)
    normalized = pl.read_parquet(tmp_path / "out" / "normalize" / "*.parquet")
    assert normalized.height == 9_976
    picture = (tmp_path / "out" / "anomalies.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(picture) > 10_000
    tables = [line for line in said.splitlines() if not line.startswith(("Picture", str(tmp_path)))]
    assert max(len(line) for line in tables) <= 80


def test_the_demo_answers_programs_with_one_document(tmp_path: Path) -> None:
    """Standard output is JSON and nothing else; all that is for people goes to standard error."""
    command = [sys.executable, "-m", "gristmill", "demo", "--json"]
    folders = ("--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"))
    ended = subprocess.run([*command, *folders], cwd=tmp_path, capture_output=True, check=False, timeout=LIMIT_S)
    embedded.reset(tmp_path / "data")
    assert ended.returncode == 0, ended.stderr.decode()
    assert ended.stdout.count(b"\n") == 1
    told = json.loads(ended.stdout)
    assert (told["dataset"]["status"], told["dataset"]["rows_loaded"]) == ("ready", 10_000)
    assert told["reports"]["metrics"]["rows"] == 10_000
    assert told["reports"]["anomalies"]["rows_flagged"] > 0
    assert told["reports"]["normalize"]["rows_dropped"] == 24
    assert {file["kind"] for file in told["files"]} == {"metrics", "anomalies", "normalize"}
    for file in told["files"]:
        content = Path(file["path"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["size_bytes"], file["sha256"])
    assert "Picture: " in ended.stderr.decode()


def test_a_dead_worker_is_told_in_one_message(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        running.until("API and worker start")
        running.find("gristmill worker").kill()
        code, said = running.ends()
        running.assert_nothing_is_left()
    assert code == 1
    assert "gristmill demo: The worker was killed by SIGKILL." in said
    assert "Traceback" not in said


def test_a_data_folder_that_is_none_is_told_in_one_message(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with demo(tmp_path) as running:
        code, said = running.ends()
        running.assert_nothing_is_left()
    assert code == 1
    assert "gristmill demo: " in said
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_nothing_left(tmp_path: Path, number: signal.Signals) -> None:
    with demo(tmp_path) as running:
        running.until("API and worker run")
        running.process.send_signal(number)
        code, said = running.ends()
        running.assert_nothing_is_left()
    assert code == 128 + number
    assert "Traceback" not in said


@pytest.mark.skipif(sys.platform != "linux", reason="Linux ties a child's life to its parent's")
def test_nothing_is_left_when_it_is_killed(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        running.until("API and worker run")
        running.process.kill()
        running.assert_nothing_is_left()
