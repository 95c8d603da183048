"""The command line does what its help says, and says what is wrong in a line."""

import asyncio
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from gristmill import __version__
from gristmill.db.engine import Database
from gristmill.domain.key import bootstrap_key, split_token
from gristmill.run import answers
from gristmill.settings import load_settings
from tests.e2e.system import free_port

ROOT = Path(__file__).parents[1]
LIMIT_S = 60.0


def gristmill(*arguments: str, env: dict[str, str], cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "gristmill", *arguments],
        env={"PATH": os.environ["PATH"], **env},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def alembic(*arguments: str, env: dict[str, str]) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        env={"PATH": os.environ["PATH"], **env},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_it_says_its_version_and_lists_its_commands() -> None:
    assert gristmill("--version", env={}).stdout == f"gristmill {__version__}\n"
    listed = gristmill("--help", env={}).stdout
    for command in ("api", "worker", "run", "demo", "migrate", "buckets", "doctor", "keys", "secrets", "reset"):
        assert re.search(rf"\b{command}\b", listed), command


def test_wrong_settings_are_all_named_at_once(environment: dict[str, str]) -> None:
    ended = gristmill("api", env={**environment, "API_PORT": "none", "CONCURRENCY": "0"})
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "API_PORT" in ended.stderr
    assert "CONCURRENCY" in ended.stderr


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    file = tmp_path / "new.env"
    assert gristmill("secrets", "--file", str(file), env={}).returncode == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    made = file.read_text()
    values = dict(line.split("=", 1) for line in made.splitlines())
    required = set(re.findall(r"\$\{([A-Z_]+):\?", (ROOT / "compose.yaml").read_text("utf-8")))
    assert required == set(values)
    assert len(values["POSTGRES_PASSWORD"]) >= 24
    assert bootstrap_key(values["BOOTSTRAP_API_KEY"]).owner == "admin"
    again = gristmill("secrets", "--file", str(file), env={})
    assert again.returncode == 0
    assert "nothing was changed" in again.stderr
    assert again.stdout == ""
    assert file.read_text() == made


def test_what_operators_type_answers_programs_on_standard_output_alone(
    environment: dict[str, str], tmp_path: Path
) -> None:
    def told(*command: str, code: int = 0) -> Any:
        ended = gristmill(*command, "--json", env=environment, cwd=tmp_path)
        assert ended.returncode == code, ended.stderr
        assert ended.stdout.count("\n") == 1, ended.stdout
        return json.loads(ended.stdout)

    assert told("secrets") == {"file": ".env", "written": True}
    assert told("secrets") == {"file": ".env", "written": False}
    (tmp_path / ".env").unlink()
    head = told("migrate")["revision"]
    assert told("migrate") == {"before": head, "revision": head}
    assert told("buckets")["created"] == []
    assert told("check-migrations") == {"differences": []}
    assert told("audit") == []
    assert {finding["name"]: finding["well"] for finding in told("doctor", code=1)}["workers"] is False
    assert told("reset", "--data", "nothing-there") == {"wiped": []}


def test_drift_is_told_and_fails(environment: dict[str, str]) -> None:
    alembic("upgrade", "head", env=environment)

    async def drift() -> None:
        settings = load_settings(environment, env_file=None)
        async with Database.open(settings.for_migration()) as database, database.driver() as driver:
            await driver.execute("ALTER TABLE jobs ADD COLUMN strange int")

    asyncio.run(drift())
    ended = gristmill("check-migrations", "--json", env=environment)
    assert ended.returncode == 1
    assert "strange" in str(json.loads(ended.stdout)["differences"])


def test_a_database_that_is_away_is_3(environment: dict[str, str]) -> None:
    for command in ("migrate", "audit"):
        ended = gristmill(command, "--json", env={**environment, "POSTGRES_PORT": str(free_port())})
        assert (ended.returncode, ended.stdout) == (3, ""), ended.stderr
        assert ended.stderr.startswith("gristmill: ")


def test_keys_are_made_listed_and_revoked(environment: dict[str, str]) -> None:
    made = gristmill(
        "keys", "create", "--owner", "ann", "--scope", "read", "--days", "2", "--name", "ci of ann", env=environment
    )
    token = made.stdout.strip()
    parts = split_token(token)
    assert parts is not None
    listed = gristmill("keys", "list", env=environment).stdout
    assert parts[0] in listed
    assert "(ci of ann)" in listed
    assert parts[1] not in listed, "a secret is shown once"
    assert gristmill("keys", "revoke", parts[0], env=environment).returncode == 0
    assert gristmill("keys", "list", env=environment).stdout == ""
    assert gristmill("keys", "revoke", parts[0], env=environment).returncode == 1


def test_it_is_told_before_the_last_admins_key_expires(environment: dict[str, str]) -> None:
    def found() -> dict[str, Any]:
        told = json.loads(gristmill("doctor", "--json", env=environment).stdout)
        keys: dict[str, Any] = next(finding for finding in told if finding["name"] == "API keys")
        return keys

    def create(*more: str) -> str:
        made = gristmill("keys", "create", "--owner", "root", *more, env=environment)
        return made.stdout.split("_")[1]

    create()
    assert (found()["well"], "none has the scope admin" in found()["seen"]) == (True, True)
    ending = create("--scope", "admin", "--days", "3")
    told = found()
    assert told["well"] is False
    assert f"the last admin's, {ending}, expires 20" in told["seen"]
    assert told["mend"] == "gristmill keys create --owner NAME --scope admin"
    assert f"{ending} is the last key with the scope admin" in gristmill("keys", "list", env=environment).stderr
    create("--scope", "admin", "--days", "90")
    assert (found()["well"], "valid until 20" in found()["seen"]) == (True, True)
    create("--scope", "admin")
    assert (found()["well"], "valid for ever" in found()["seen"]) == (True, True)
    assert gristmill("keys", "list", env=environment).stderr.count("last key") == 0


def test_migrate_makes_sure_of_the_bootstrap_key(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "new.env"
    gristmill("secrets", "--file", str(file), env={})
    token = dict(line.split("=", 1) for line in file.read_text().splitlines())["BOOTSTRAP_API_KEY"]
    for _ in range(2):
        assert gristmill("migrate", env={**environment, "BOOTSTRAP_API_KEY": token}).returncode == 0
    parts = split_token(token)
    assert parts is not None
    assert gristmill("keys", "list", env=environment).stdout.count(parts[0]) == 1
    refused = gristmill("migrate", env={**environment, "BOOTSTRAP_API_KEY": "secret"})
    assert refused.returncode == 1
    assert "BOOTSTRAP_API_KEY" in refused.stderr


def test_alembic_itself_works_on_the_same_settings(environment: dict[str, str]) -> None:
    assert "(head)" in alembic("current", env=environment)
    assert "(head)" in alembic("history", env=environment)
    alembic("downgrade", "base", env=environment)
    assert alembic("current", env=environment).strip() == ""
    alembic("upgrade", "head", env=environment)
    assert "(head)" in alembic("current", env=environment)
    assert "CREATE TABLE jobs" in alembic("upgrade", "head", "--sql", env=environment)


def test_a_new_migration_is_written_from_the_models(environment: dict[str, str], tmp_path: Path) -> None:
    """In a copy, so that nothing is written here."""
    for name in ("alembic.ini", "migrations"):
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / name)
    before = set((tmp_path / "migrations" / "versions").glob("*.py"))
    ended = gristmill("migration", "-m", "nothing new", env=environment, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    [written] = set((tmp_path / "migrations" / "versions").glob("*.py")) - before
    assert re.search(r"def upgrade\(\) -> None:\n(    #.*\n)?    pass\n", written.read_text())
    assert gristmill("check-migrations", env=environment).returncode == 0


@contextmanager
def running(sources: Path, env: dict[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as target:
        process = subprocess.Popen(
            [sys.executable, "-m", "gristmill", "run"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(sources), **env},
            cwd=ROOT,
            stdout=target,
            stderr=target,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(condition: object, log: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


@pytest.mark.parametrize("reload", [False, True])
def test_run_stays_up_and_ends_with_nothing_left(environment: dict[str, str], tmp_path: Path, *, reload: bool) -> None:
    sources = tmp_path / "src"
    shutil.copytree(ROOT / "src", sources, ignore=shutil.ignore_patterns("__pycache__"))
    port, log = free_port(), tmp_path / "run.log"
    env = {**environment, "API_PORT": str(port), "RELOAD": "1" if reload else "", "SOFT_STOP_S": "1"}
    with running(sources, env, log) as process:
        wait_for(lambda: f"http://127.0.0.1:{port}/docs" in log.read_text(), log)
        assert answers(f"http://127.0.0.1:{port}/health/ready")
        wait_for(lambda: f"--plot --url http://127.0.0.1:{port}\n" in log.read_text(), log)
        assert "setup plugin" not in log.read_text(), "what nobody can use"
        before = psutil.Process(process.pid).children(recursive=True)
        assert len(before) >= 2
        if reload:
            (sources / "gristmill" / "telemetry.py").touch()
            wait_for(lambda: "The code has changed" in log.read_text(), log)
            wait_for(lambda: log.read_text().count("api.started") == 2, log)
            wait_for(lambda: answers(f"http://127.0.0.1:{port}/health/ready"), log)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 128 + signal.SIGINT
        assert not psutil.wait_procs({*before, *children}, timeout=LIMIT_S)[1]
