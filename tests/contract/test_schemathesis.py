"""Promise: a fuzzer that knows nothing but the document finds no answer that the document does not tell of."""

import json
import re
from pathlib import Path

from tests.contract.programs import run
from tests.contract.told import peopled
from tests.e2e.system import System

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("schemathesis.toml")


# What a fuzzer may not come to: an upload is complete when its parts are in the store, and these streams have no end.
MAY_MISS = {"completeUpload", "followJobs", "followQueue"}


async def test_schemathesis_finds_nothing(system: System, token: str, tmp_path: Path) -> None:
    """All its phases: examples, coverage, fuzzing and sequences of requests."""
    told = await peopled(system, tmp_path)
    command = ["st", "--config-file", str(CONFIG), "--no-color", "run", str(told), "--url", system.url]
    command += ["--header", f"Authorization: Bearer {token}"]
    await run("env", f"PYTHONPATH={ROOT}", *command, folder=tmp_path)
    assert "api.request_failed" not in system.log("api")
    document = json.loads(told.read_text("utf-8"))
    served = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    exposed = (await system.http.get("/metrics")).text
    done = set(re.findall(r'gristmill_http_requests_total{operation="(\w+)",status="[23]xx"}', exposed))
    assert served - done <= MAY_MISS, "what was never done has hardly been tried"
