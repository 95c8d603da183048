"""Other people's programs, run beside the system."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from pathlib import Path

BIN = Path(sys.executable).parent


async def run(*command: str, folder: Path) -> str:
    """What a program wrote; it must end well. Those of this environment are found first."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=environment, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
    )
    output, _ = await process.communicate()
    told = output.decode("utf-8", "replace")
    assert process.returncode == 0, told
    return told
