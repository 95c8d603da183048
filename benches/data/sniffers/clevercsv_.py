# /// script
# requires-python = ">=3.11"
# dependencies = ["clevercsv==0.8.*"]
# ///
"""CleverCSV: its detector in its default way, and its look at the header. It tells no lines above the table."""

import _kit
import clevercsv
from clevercsv.exceptions import NoDetectionResult


def look(path):
    with path.open(encoding="utf-8", newline="") as file:
        text = file.read()
    detector = clevercsv.Detector()
    dialect = detector.detect(text)
    if dialect is None:
        raise NoDetectionResult
    found = {"delimiter": dialect.delimiter or None, "quote": dialect.quotechar or None}
    try:
        return {**found, "header": bool(detector.has_header(text))}
    except NoDetectionResult:
        return found


if __name__ == "__main__":
    _kit.main(look, (NoDetectionResult,))
