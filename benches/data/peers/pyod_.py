# /// script
# requires-python = ">=3.11"
# dependencies = ["pyod==3.6.*", "pandas==3.1.*", "pyarrow", "boto3"]
# ///
"""PyOD's detectors on what pandas reads from the CSV; the rows with the highest scores are written as Parquet."""

import _detectors
import _kit
import _pandas

WORKS = _detectors.works(_pandas.read_csv)

if __name__ == "__main__":
    _kit.main(WORKS)
