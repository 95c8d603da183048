"""Promise: a fuzzer that knows nothing but the document finds no answer that the document does not tell of."""

from pathlib import Path

from tests.contract.programs import run
from tests.contract.told import peopled
from tests.e2e.system import System

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("schemathesis.toml")


async def test_schemathesis_finds_nothing(system: System, tmp_path: Path) -> None:
    """All its phases: examples, coverage, fuzzing and sequences of requests."""
    told = await peopled(system, tmp_path)
    command = ["st", "--config-file", str(CONFIG), "--no-color", "run", str(told), "--url", system.url]
    await run("env", f"PYTHONPATH={ROOT}", *command, folder=tmp_path)
    assert "api.request_failed" not in system.log("api")
