"""Promise: a Python client that others generate from the document compiles, and drives the whole flow."""

import compileall
import json
import re
import shutil
import sys
from pathlib import Path

from tests.contract.programs import run
from tests.contract.told import document
from tests.e2e.system import System

# The generator knows four media types of bodies, and says which it leaves out: data can be sent as one of those four.
UNKNOWN = re.compile(r"^Unsupported content type (?:text|application)/(?!json$|octet-stream$)\S+$")


async def test_a_generated_client_drives_the_whole_flow(system: System, token: str, tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(await document(system)), "utf-8")
    told = await run(
        *("openapi-python-client", "generate", "--path", "openapi.json"),
        *("--meta", "none", "--output-path", "gristmill_client"),
        folder=tmp_path,
    )
    complaints = [line for line in told.splitlines() if re.match("Unsupported|Unable|Cannot|Failure|Skipping", line)]
    assert [line for line in complaints if not UNKNOWN.match(line)] == []
    assert compileall.compile_dir(tmp_path / "gristmill_client", quiet=1)
    shutil.copy(Path(__file__).with_name("python") / "flow.py", tmp_path)
    # The template of the client's own module has flaws of types; its models and calls have none, as they are used.
    await run(sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "flow.py", folder=tmp_path)
    await run(sys.executable, "-W", "error", "flow.py", system.url, token, folder=tmp_path)
