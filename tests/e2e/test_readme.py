"""The README's session does what it says when it is pasted."""

import asyncio
import csv
import json
import os
import re
import sys
from pathlib import Path

import polars as pl

from tests.e2e.system import System

README = Path(__file__).parents[2] / "README.md"


def session() -> str:
    blocks = re.findall(
        r"<!-- This block is run as a test, as it stands. -->\n```bash\n(.*?)```", README.read_text(), re.S
    )
    assert len(blocks) == 1
    return str(blocks[0])


async def test_the_curl_session_works_as_pasted(system: System, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", session(),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "API": system.url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, complained = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, complained.decode()
    lines = [line for line in said.decode().splitlines() if line]
    events, dataset, rejects, result = map(json.loads, lines[:4])
    header, row = csv.reader(lines[4:])
    assert [event["type"] for event in events["items"]][-1] == "completed"
    assert (dataset["rows_read"], dataset["rows_loaded"], dataset["rows_rejected"]) == (8, 7, 1)
    assert [(item["line"], item["raw"]) for item in rejects["items"]] == [(9, "Jena,10.2,9")]
    assert result["rows"] == 1
    assert float(row[header.index("temperature")]) == 980
    flagged = pl.read_parquet(tmp_path / "anomalies.parquet")
    assert flagged["temperature"].to_list() == [980.0]


async def test_the_python_sessions_work_as_pasted(system: System, tmp_path: Path) -> None:
    (tmp_path / "readings.csv").write_text("temperature\n11.5\n9.8\n10.4\n10.9\n11.1\n980\n")
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 2
    said = [await pasted(block.replace("http://127.0.0.1:8000", system.url), tmp_path) for block in blocks]
    blocking = [line for line in said[0] if not line.startswith("JobInfo(")]
    assert len(blocking) < len(said[0]), "what was waited for told how far it is"
    assert blocking[:2] == ["1", "[980.0]"]
    assert blocking[2].endswith("'completed']")
    assert blocking[3] == "422 /params/columns/0"
    assert pl.read_parquet(tmp_path / "flagged.parquet").height == 1
    assert said[1] == ["['completed', 'completed']", "['anomalies', 'metrics']"]


async def pasted(block: str, folder: Path) -> list[str]:
    """What a session writes, line by line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", block, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complained = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, complained.decode()
    return said.decode().splitlines()


async def test_the_session_is_for_the_port_that_is_the_default() -> None:
    from gristmill.settings import Settings

    assert f"API=${{API:-http://127.0.0.1:{Settings.model_fields['api_port'].default}}}" in session()
