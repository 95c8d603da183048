# /// script
# requires-python = ">=3.11"
# dependencies = ["duckdb==1.5.*"]
# ///
"""DuckDB: `sniff_csv` by its defaults, and for a file that fails so, with rows allowed that do not fit."""

import _kit
import duckdb

SNIFF = "SELECT Delimiter, Quote, HasHeader, SkipRows FROM sniff_csv(?{})"
LENIENT = ", ignore_errors = true, null_padding = true, strict_mode = false"


def look(path):
    try:
        found = duckdb.execute(SNIFF.format(""), [str(path)]).fetchone()
    except duckdb.Error:
        found = duckdb.execute(SNIFF.format(LENIENT), [str(path)]).fetchone()
    delimiter, quote, header, skipped = found
    told = {"delimiter": delimiter, "quote": None if quote in ("\0", "(empty)") else quote}
    return {**told, "header": header, "start": skipped}


if __name__ == "__main__":
    _kit.main(look, (duckdb.Error,))
