# /// script
# requires-python = ">=3.11"
# dependencies = ["pandas==3.1.*", "pyarrow", "boto3"]
# ///
"""The pandas way with PyArrow's reader, which uses all cores. Everything else is as in `pandas_`."""

import _kit
import _pandas
import pandas as pd
import pyarrow.csv  # noqa: F401 (what pandas imports when it reads, brought before the clock starts)


def read(given):
    return pd.read_csv(given.fetch(given.csv), engine="pyarrow")


WORKS = _pandas.works(read)

if __name__ == "__main__":
    _kit.main(WORKS)
