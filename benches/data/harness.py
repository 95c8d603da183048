"""What the parts share: one peer at a time in an environment of its own."""

import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PEERS, SNIFFERS = HERE / "peers", HERE / "sniffers"
GIVE_UP_S = 3600
ALIKE = 1e-6


class Script:
    """A program with its own dependencies (PEP 723), in an environment that uv makes for it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.stem.rstrip("_")
        subprocess.run(["uv", "sync", "--quiet", "--script", str(path)], check=True)
        found = subprocess.run(
            ["uv", "python", "find", "--script", str(path)], check=True, capture_output=True, text=True
        )
        self._python = found.stdout.strip()

    def __call__(self, *given: str, environment: dict[str, str] | None = None) -> Any:
        """Run it; answers its last line, read as JSON. Raises Broken if it failed or was killed."""
        command = [self._python, "-P", str(self.path), *given]
        # -P keeps the script's folder off the path; the kit is there.
        env = {**os.environ, "PYTHONPATH": str(self.path.parent), **(environment or {})}
        ended = subprocess.run(command, capture_output=True, text=True, env=env, timeout=GIVE_UP_S, check=False)
        if ended.returncode:
            raise Broken(f"ended with {ended.returncode}: {ended.stderr.strip().rpartition(chr(10))[2]}")
        return json.loads(ended.stdout.splitlines()[-1])


class Broken(Exception):
    """What was to be measured did not end well; the text says how."""


def scripts(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.py") if not path.stem.startswith("_"))


def alike(one: dict[str, float], other: dict[str, float]) -> bool:
    """Whether the figures that both have are the same."""
    return all(math.isclose(one[name], other[name], rel_tol=ALIKE) for name in one.keys() & other.keys())
