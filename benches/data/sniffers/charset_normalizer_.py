# /// script
# requires-python = ">=3.11"
# dependencies = ["charset-normalizer==3.5.*"]
# ///
"""charset-normalizer: its best guess."""

import _kit
from charset_normalizer import from_bytes


def look(path):
    best = from_bytes(path.read_bytes()).best()
    return {"encoding": best and best.encoding}


if __name__ == "__main__":
    _kit.main(look)
