"""The commands that speak to a server, against a real one: in pipes, and as people type them in a terminal."""

import json
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pytest

from gristmill import Client
from gristmill.embedded import Endpoints
from tests.cli.terminal import CTRL_C, Terminal, gristmill
from tests.databases import made
from tests.e2e.system import running_system
from tests.worker.dropped_in import dropped_in

Env = dict[str, str]

ROWS = 60_000
LONG = ("--kind", "misbehave", "--param", "seconds=300")


@pytest.fixture(scope="module")
async def live(
    endpoints: Endpoints, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Env]:
    """The environment that leads a command to a server with a worker, which knows a kind that takes as long as told."""
    folder = tmp_path_factory.mktemp("cli")
    async with made(endpoints, "cli", template=template_database) as name:
        environment = {**endpoints.environment(), "POSTGRES_DB": name, **dropped_in(folder / "dropped")}
        async with running_system(environment, folder) as system:
            yield {"GRISTMILL_URL": system.url}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Large enough not to be kept in memory by an executor, with something to find in it."""
    path = tmp_path_factory.mktemp("data") / "readings.csv"
    rows = range(ROWS)
    frame = pl.DataFrame({
        "station": [f"s{row % 7}" for row in rows],
        "speed": [9000.5 if row == 77 else row % 97 / 2 for row in rows],
        "height": [None if row % 50 == 0 else row % 13 for row in rows],
        "day": ["2026-01-02"] * ROWS,
    })  # fmt: skip
    frame.write_csv(path)
    return path


@pytest.fixture(scope="module")
def dataset(live: Env, table: Path) -> str:
    with Client(live["GRISTMILL_URL"]) as client:
        return client.upload(table).wait(timeout_s=60).id


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def read(said: str) -> Any:
    """The one JSON document that standard output is."""
    assert said.count("\n") == 1
    return json.loads(said)


def test_submit_shows_bytes_then_rows_and_fetches_the_result(live: Env, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    # It rests when it has seen the rows, so that they are seen here too.
    with Terminal("submit", str(table), "-k", "misbehave", "-p", "seconds=2", "-o", str(out), env=live) as terminal:
        assert terminal.ends() == 0, terminal.said
    said = terminal.said
    steps = ("sending 0 B of 1.3 MB", "bytes sent", "60,000 rows loaded", "fit 0 of 60,000 rows", "completed in",
             "checked", "wrote ")  # fmt: skip
    places = [said.find(words) for words in steps]
    assert -1 not in places, said
    assert places == sorted(places), said
    assert "━" in said
    assert json.loads(out.read_text())["kind"] == "misbehave"


def test_ctrl_c_cancels_the_job_and_waits_for_its_end(live: Env, dataset: str) -> None:
    with Terminal("submit", "--dataset", dataset, *LONG, "--wait", env=live) as terminal:
        terminal.until(r"(running|fit) ")
        terminal.type(CTRL_C)
        assert terminal.ends() == 130, terminal.said
    assert "Canceling the job" in terminal.said
    (job_id,) = re.findall(r"(?m)^([0-9a-f-]{36})\r?$", terminal.said)
    with Client(live["GRISTMILL_URL"]) as client:
        assert client.job(job_id).status == "canceled"


def test_ctrl_c_ends_a_watch_and_leaves_the_job(live: Env, dataset: str) -> None:
    with Client(live["GRISTMILL_URL"]) as client:
        job = client.submit("misbehave", dataset, {"seconds": 300}, reuse="none")
        with Terminal("watch", job.id, env=live) as terminal:
            terminal.until(r"(running|fit) ")
            terminal.type(CTRL_C)
            assert terminal.ends() == 130, terminal.said
        assert not job.refresh().final
        ended = gristmill("cancel", job.id, "--wait", "--json", env=live)
    assert (ended.returncode, read(ended.stdout)["status"]) == (0, "canceled"), ended.stderr


def test_a_second_ctrl_c_leaves_at_once(live: Env, dataset: str) -> None:
    """The worker is held still, so that a cancel does not come to its end."""
    with Client(live["GRISTMILL_URL"]) as client:
        (worker,) = client.workers()
        with Terminal("submit", "--dataset", dataset, *LONG, "--no-reuse", "--wait", "--json", env=live) as terminal:
            terminal.until(r"(running|fit) ")
            os.kill(worker.pid, signal.SIGSTOP)
            try:
                terminal.type(CTRL_C)
                terminal.until("is being canceled")
                began = time.monotonic()
                terminal.type(CTRL_C)
                assert terminal.ends() == 130, terminal.said
                assert time.monotonic() - began < 3
                (told,) = (json.loads(line) for line in terminal.said.splitlines() if line.startswith("{"))
                assert f"gristmill watch {told['id']}" in terminal.said
                seen = client.job(told["id"])
                assert not seen.final
                assert seen.info.cancel_requested_at is not None
            finally:
                os.kill(worker.pid, signal.SIGCONT)
        assert seen.wait(timeout_s=60).status == "canceled"


def test_top_is_told_what_goes_on_and_leaves_on_q(live: Env, dataset: str) -> None:
    with Client(live["GRISTMILL_URL"]) as client, Terminal("top", env=live) as terminal:
        terminal.until(r"1 workers, 0 of 1 slots busy")
        job = client.submit("misbehave", dataset, {"seconds": 299}, reuse="none")
        said = terminal.until(rf"{job.id} +misbehave")
        terminal.until(r"1 workers, 1 of 1 slots busy")
        assert "oldest wait" in said
        job.cancel()
        terminal.until(rf"(?s){job.id}.*1 of 1 slots busy.*0 of 1 slots busy.*[1-9] canceled")
        terminal.type("x")
        terminal.type("q")
        assert terminal.ends() == 0
        assert terminal.raw.count("\x1b[?1049l") == 1, "the screen before comes back"


def test_top_looks_once_for_programs(live: Env, dataset: str) -> None:
    with Client(live["GRISTMILL_URL"]) as client:
        job = client.submit("misbehave", dataset, {"seconds": 298}, reuse="none")
        while job.refresh().status == "pending":
            time.sleep(0.05)
        shown = gristmill("top", env=live).stdout
        assert f"{job.id}  misbehave" in shown
        assert "\x1b" not in shown
        snapshot = read(gristmill("top", "--json", env=live).stdout)
        job.cancel().wait()
    assert set(snapshot) == {"queue", "workers", "running"}
    assert snapshot["workers"][0]["slots"] == 1
    assert [run["kind"] for run in snapshot["workers"][0]["runs"]] == ["misbehave"]
    assert [run["id"] for run in snapshot["running"]] == [job.id]


def test_a_pipe_gets_the_id_alone_and_json_is_one_document(live: Env, table: Path) -> None:
    sent = gristmill("submit", "-", "-k", "metrics", "--format", "csv", env=live, given=table.read_bytes())
    assert sent.returncode == 0, sent.stderr
    job_id = sent.stdout.strip()
    watched = gristmill("watch", job_id, "--json", env=live)
    assert read(watched.stdout)["status"] == "completed"
    events = gristmill("watch", job_id, "--events", "--json", env=live).stdout.splitlines()
    assert [json.loads(line)["type"] for line in events][-1] == "completed"
    for command in (("jobs", "--kind", "metrics"), ("datasets", "--name", "stdin")):
        listed = read(gristmill(*command, "--json", env=live).stdout)
        assert len(listed) == 1
        shown = gristmill(*command, env=live).stdout
        assert listed[0]["id"] in shown
        assert "\x1b" not in shown, "no colours where nobody sees them"
    report = read(gristmill("result", job_id, "--report", env=live).stdout)
    assert report["rows"] == ROWS
    assert "misbehave" in {kind["kind"] for kind in read(gristmill("kinds", "--json", env=live).stdout)}


def test_colours_are_off_when_they_are_not_wanted(live: Env) -> None:
    with Terminal("jobs", env={**live, "NO_COLOR": "1"}) as terminal:
        assert terminal.ends() == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", terminal.raw)


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("metrics", {}),
        ("anomalies", {"method": "zscore", "columns": ["speed", "height"], "output_format": "csv"}),
        ("normalize", {"steps": [{"op": "fill_nulls", "strategy": "mean", "columns": ["height"]},
                                 {"op": "scale", "method": "robust", "columns": ["speed"]}]}),
    ],
)  # fmt: skip
def test_run_local_makes_the_same_bytes_as_the_server(
    live: Env, dataset: str, table: Path, tmp_path: Path, kind: str, params: dict[str, object]
) -> None:
    given = ("--kind", kind, "--params", json.dumps(params))
    there = gristmill("submit", "--dataset", dataset, *given, "-o", f"{tmp_path}/there/", env=live)
    here = gristmill("run-local", str(table), *given, "-o", f"{tmp_path}/here/", "--json")
    assert (there.returncode, here.returncode) == (0, 0), there.stderr + here.stderr
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
    files = read(here.stdout)["files"]
    assert {file["name"] for file in files} == set(contents(tmp_path / "here"))


def test_anomalies_are_drawn_in_the_terminal(live: Env, dataset: str) -> None:
    given = ("--dataset", dataset, "-k", "anomalies", "-p", "method=iqr", "-p", 'columns=["speed"]')
    with Terminal("submit", *given, "--plot", env=live) as terminal:
        assert terminal.ends() == 0, terminal.said
    assert "speed (rows on a log scale)" in terminal.said
    assert "1 anomalies" in terminal.said
    (job_id,) = re.findall(r"(?m)^([0-9a-f-]{36})\r?$", terminal.said)
    drawn = gristmill("result", job_id, "--plot", env=live)
    assert drawn.returncode == 0, drawn.stderr
    assert "\x1b" not in drawn.stdout
    assert {"░", "█"} <= set(drawn.stdout)
    assert max(map(len, drawn.stdout.splitlines())) <= 80
    other = gristmill("submit", "--dataset", dataset, "-k", "metrics", "--plot", env=live)
    assert other.returncode == 2
    assert "an anomalies job" in other.stderr


def test_what_was_odd_in_the_reading_is_told_with_the_job(live: Env, tmp_path: Path) -> None:
    """Numbers that may have a decimal comma stay text, and then there is nothing to judge."""
    path = tmp_path / "pump.csv"
    path.write_text("pump;bar\n" + "P1;4,196\nP2;4,201\n" * 20)
    ended = gristmill("submit", str(path), "-k", "anomalies", "--wait", env=live)
    assert ended.returncode == 1
    assert "note: column 2: its numbers may have decimals or thousands" in ended.stderr
    assert "the option decimal says" in ended.stderr
    said = gristmill("submit", str(path), "-k", "anomalies", "--wait", "--option", "decimal=,", env=live)
    assert said.returncode == 0, said.stderr


def test_a_name_that_promises_another_format_is_told(live: Env, dataset: str, tmp_path: Path) -> None:
    given = ("--dataset", dataset, "-k", "anomalies", "-p", "method=zscore", "-o", str(tmp_path / "flagged.csv"))
    assert "has the bytes of anomalies.parquet" in gristmill("submit", *given, env=live).stderr
    right = gristmill("submit", *given, "-p", "output_format=csv", env=live)
    assert right.returncode == 0
    assert "has the bytes" not in right.stderr


def test_profile_says_what_the_server_says(live: Env, dataset: str, table: Path) -> None:
    here = read(gristmill("profile", str(table), "--json").stdout)
    with Client(live["GRISTMILL_URL"]) as client:
        there = client.dataset(dataset).profile()
    assert here["columns"] == list(there.columns)
    assert here["dialect"] == there.dialect
    assert (here["rows_read"], here["figures"]) == (there.rows_read, there.figures)


def test_a_job_that_fails_runs_again_and_exit_codes_say_what_became_of_it(live: Env, dataset: str) -> None:
    with Client(live["GRISTMILL_URL"]) as client:
        job = client.submit("misbehave", dataset, {"die": True}, reuse="none", max_attempts=1)
    failed = gristmill("watch", job.id, env=live)
    assert failed.returncode == 1
    assert "signal" in failed.stderr or "died" in failed.stderr or "ended" in failed.stderr, failed.stderr
    assert gristmill("result", job.id, env=live).returncode == 1
    again = read(gristmill("retry", job.id, "--json", env=live).stdout)["status"]
    assert again in ("pending", "running"), "a worker may have it already"
    assert gristmill("watch", job.id, env=live).returncode == 1
    slow = gristmill("submit", "--dataset", dataset, *LONG, "--no-reuse", "--wait", "--timeout", "1", env=live)
    assert slow.returncode == 6
    gristmill("cancel", slow.stdout.strip(), "--wait", env=live)
    assert gristmill("watch", slow.stdout.strip(), env=live).returncode == 5
    assert gristmill("result", slow.stdout.strip(), env=live).returncode == 5


def test_what_is_refused_exits_with_4_and_points_at_it(live: Env, dataset: str, tmp_path: Path) -> None:
    ended = gristmill("submit", "--dataset", dataset, "-k", "anomalies", "-p", "threshold=-1", env=live)
    assert ended.returncode == 4
    assert "/params/threshold" in ended.stderr
    assert ended.stdout == ""
    assert gristmill("watch", str(uuid4()), env=live).returncode == 4
    key = tmp_path / "key"
    key.write_text("gm_aaaaaaaaaaaa_" + "b" * 43 + "\n")
    for given in ((("--api-key-file", str(key)), live), ((), {**live, "GRISTMILL_API_KEY": "gm_no"})):
        refused = gristmill("jobs", *given[0], env=given[1])
        assert refused.returncode == 4
        assert "API key" in refused.stderr
        assert "bbb" not in refused.stderr


def test_the_shell_completes_kinds_and_jobs(live: Env, dataset: str) -> None:
    def completed(words: str) -> str:
        asked = {"_GRISTMILL_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        return gristmill(env={**live, **asked}).stdout

    assert "submit" in completed("gristmill sub").split()
    assert "anomalies" in completed("gristmill submit --kind an").split()
    with Client(live["GRISTMILL_URL"]) as client:
        job = next(client.jobs())
    assert job.id in completed(f"gristmill watch {job.id[:8]}").split()
    assert os.environ.get("GRISTMILL_URL") is None


def test_bash_itself_completes(live: Env) -> None:
    """A shell in a terminal, with what `--show-completion` says, and the tabulator key."""
    script = gristmill("--show-completion", "bash", env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}).stdout
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    bash = ("bash", "--norc", "--noprofile", "-i")
    with Terminal(program=bash, env={**live, "PATH": path, "PS1": "$ "}) as terminal:
        terminal.type(f"eval {shlex.quote(script)}; echo rea''dy\n")
        terminal.until(r"[\r\n]ready")
        terminal.type("gristmill check-m\t")
        terminal.until("gristmill check-migrations ")
        terminal.type("\x15gristmill submit --kind anom\t")
        terminal.until("gristmill submit --kind anomalies ")
