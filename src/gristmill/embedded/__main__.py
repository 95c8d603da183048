"""`python -m gristmill.embedded <folder>`: the guard of a data folder. Started by `hold`, not by people."""

import sys
from pathlib import Path

from gristmill.embedded.guard import watch

if __name__ == "__main__":
    watch(Path(sys.argv[1]))
