# /// script
# requires-python = ">=3.11"
# dependencies = ["pandas==3.1.*", "pyarrow", "boto3"]
# ///
"""The pandas way, from the CSV: download, read, compute, write Parquet, upload. pandas' own reader (`engine="c"`)."""

import _kit
import _pandas

WORKS = _pandas.works(_pandas.read_csv)

if __name__ == "__main__":
    _kit.main(WORKS)
