"""`make bench`: every measurement, or those that are named: `make bench ARGS="decisions"`."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SHARED = "measuring"  # no bench itself


def main() -> int:
    """Run each in a process of its own; answers how many failed."""
    known = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in ("__main__", SHARED))
    chosen = sys.argv[1:] or known
    unknown = [name for name in chosen if name not in known]
    if unknown:
        sys.exit(f"There is no bench called {', '.join(unknown)}; there are {', '.join(known)}")
    failed = 0
    for name in chosen:
        print(f"== {name}", flush=True)
        failed += subprocess.run([sys.executable, str(HERE / f"{name}.py")], check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
