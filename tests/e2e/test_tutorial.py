"""The tutorial does what it says when it is pasted."""

import asyncio
import os
import re
from pathlib import Path

import polars as pl

from tests.e2e.system import System

ROOT = Path(__file__).parents[2]


async def test_the_tutorial_works_as_pasted(system: System, tmp_path: Path) -> None:
    text = (ROOT / "docs/tutorial.md").read_text("utf-8")
    session = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL))
    data = ROOT / "src/gristmill/demo/data/birdstrikes.csv.gz"
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", session),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "API": system.url, "BIRDS": str(data)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, complained.decode()
    assert '"rows_loaded": 10000' in said.decode()
    assert re.search(r"Speed IAS in knots +Int64 +nulls 2836", said.decode())
    assert "'fitted.json'" in said.decode()
    assert pl.read_parquet(tmp_path / "clean.parquet").height == 10_000 - 24
