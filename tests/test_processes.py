"""Children are watched, and none is left, whatever ends us."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from gristmill.errors import ProcessFailed
from gristmill.processes import Processes, Program

LIMIT_S = 20.0
SLEEPER = "import time; print('started', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('started', flush=True); time.sleep(600)"
)
PARENT = """
import sys
from pathlib import Path
from gristmill.processes import Processes, Program
log = Path(sys.argv[1])
with Processes() as processes:
    program = Program("sleeper", [sys.executable, "-c", sys.argv[2]], {}, log=log)
    pid = processes.start(program)
    processes.wait_ready("sleeper", lambda: "started" in log.read_text())
    print(pid, flush=True)
    processes.wait()
"""


def python(code: str, log: Path, *, name: str = "sleeper") -> Program:
    return Program(name, [sys.executable, "-c", code], {}, log=log)


def eventually(condition: Callable[[], bool], promise: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, promise
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "child.log"
    path.touch()
    return path


def started(log: Path) -> bool:
    return "started" in log.read_text()


def fault_of(program: Program) -> str:
    """What is told of a program that ends by itself."""
    with Processes() as processes:
        processes.start(program)
        with pytest.raises(ProcessFailed) as caught:
            processes.wait_ready(program.name, lambda: False)
    return caught.value.detail


def test_leaving_the_block_stops_all(log: Path) -> None:
    with Processes() as processes:
        pids = [processes.start(python(SLEEPER, log, name=name)) for name in ("one", "two")]
        processes.wait_ready("one", lambda: log.read_text().count("started") == 2)
        assert all(alive(pid) for pid in pids)
    assert not any(alive(pid) for pid in pids)


def test_an_exception_stops_all(log: Path) -> None:
    pids = []

    def fail_with_a_child() -> None:
        with Processes() as processes:
            pids.append(processes.start(python(SLEEPER, log)))
            processes.wait_ready("sleeper", lambda: started(log))
            raise KeyError("ours")

    with pytest.raises(KeyError, match="ours"):
        fail_with_a_child()
    assert not alive(pids[0])


def test_a_child_that_ignores_sigterm_is_killed(log: Path) -> None:
    with Processes(stop_limit_s=0.1) as processes:
        pid = processes.start(python(STUBBORN, log))
        processes.wait_ready("sleeper", lambda: started(log))
    assert not alive(pid)


def test_what_a_child_leaves_behind_in_its_group_is_killed(log: Path) -> None:
    code = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEPER!r}]).pid, flush=True)"
    assert "exit code 0" in fault_of(python(code, log))
    left_behind = next(int(line) for line in log.read_text().splitlines() if line.isdigit())
    eventually(lambda: not alive(left_behind), "the grandchild is killed with its group")


def test_a_child_that_dies_early_is_told_with_its_last_words(log: Path) -> None:
    code = "import sys; print('no such port'); sys.exit(3)"
    told = "The worker ended with exit code 3. It said last:\n  no such port"
    assert fault_of(python(code, log, name="worker")) == told


def test_a_child_that_is_killed_is_told_by_the_name_of_the_signal(log: Path) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert fault_of(python(code, log)) == "The sleeper was killed by SIGKILL."


def test_a_program_runs_in_its_folder_with_its_environment_alone(log: Path, tmp_path: Path) -> None:
    code = "import os; print(os.getcwd(), os.environ.get('OURS'), 'HOME' in os.environ)"
    command = [sys.executable, "-c", code]
    assert "exit code 0" in fault_of(Program("teller", command, {"OURS": "1"}, log=log, folder=tmp_path))
    assert log.read_text().split() == [str(tmp_path), "1", "False"]


def test_a_program_that_does_not_exist_is_told(log: Path) -> None:
    fault = fault_of(Program("ghost", ["/no/such/program"], {}, log=log))
    assert fault.endswith("/no/such/program: No such file or directory")


def test_a_child_that_is_never_ready_is_told(log: Path) -> None:
    with Processes() as processes:
        processes.start(python(SLEEPER, log))
        with pytest.raises(ProcessFailed, match="not ready after 0 s"):
            processes.wait_ready("sleeper", lambda: False, limit_s=0.01)


def test_one_child_can_be_stopped_and_started_again(log: Path) -> None:
    with Processes() as processes:
        first = processes.start(python(SLEEPER, log))
        with pytest.raises(ProcessFailed, match="runs already"):
            processes.start(python(SLEEPER, log))
        processes.stop("sleeper")
        assert not alive(first)
        assert alive(processes.start(python(SLEEPER, log)))


def test_the_handlers_of_signals_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with Processes():
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_all_and_is_the_exit_code(log: Path, number: signal.Signals) -> None:
    parent, child = start_parent(log, SLEEPER)
    parent.send_signal(number)
    assert parent.wait(LIMIT_S) == 128 + number
    assert not alive(child)


def test_a_second_signal_does_not_wait_for_a_stubborn_child(log: Path) -> None:
    parent, child = start_parent(log, STUBBORN)

    def gone_after_one_more() -> bool:
        parent.send_signal(signal.SIGINT)
        return parent.poll() is not None

    eventually(gone_after_one_more, "the second signal kills")
    assert not alive(child)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux ties a child's life to its parent's")
def test_nothing_is_left_when_the_parent_is_killed(log: Path) -> None:
    parent, child = start_parent(log, STUBBORN)
    parent.kill()
    parent.wait(LIMIT_S)
    eventually(lambda: not alive(child), "the child dies with its parent")


def start_parent(log: Path, code: str) -> tuple["subprocess.Popen[str]", int]:
    """A process that holds a child; and the child's process id, once it runs."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(log), code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        return parent, int(parent.stdout.readline())
