"""Promise: a TypeScript client that others generate from the document compiles, and drives the whole flow."""

import json
import shutil
from pathlib import Path

import pytest

from tests.contract.programs import run
from tests.contract.told import document
from tests.e2e.system import System

SOURCE = Path(__file__).with_name("typescript")
# Kept between sessions: what is fetched once need not be fetched again.
CACHE = Path(__file__).parents[2] / ".npm-cache"
MISSING = "there is no npm on this machine, so the TypeScript client was not tried; on Debian: apt-get install npm"
UNREACHED = "npm can't fetch what it needs, so the TypeScript client was not tried"


async def test_a_generated_client_drives_the_whole_flow(system: System, token: str, tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip(MISSING)
    folder = tmp_path / "typescript"
    shutil.copytree(SOURCE, folder)
    (folder / "openapi.json").write_text(json.dumps(await document(system)), "utf-8")
    try:
        await run("npm", "ci", "--ignore-scripts", "--prefer-offline", "--cache", str(CACHE), folder=folder)
    except AssertionError as error:
        # A lock file that does not fit is a failure; a network that is not there is not ours.
        if not any(code in str(error) for code in ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT")):
            raise
        pytest.skip(UNREACHED)
    await run("npx", "--no", "openapi-typescript", "openapi.json", "--output", "gristmill.d.ts", folder=folder)
    await run("npx", "--no", "tsc", folder=folder)
    assert (await run("node", "out/flow.js", system.url, token, folder=folder)).endswith("the flow is complete\n")
