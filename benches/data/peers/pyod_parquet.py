# /// script
# requires-python = ">=3.11"
# dependencies = ["pyod==3.6.*", "pandas==3.1.*", "pyarrow", "boto3"]
# ///
"""As `pyod_`, from the Parquet parts."""

import _detectors
import _kit
import _pandas

WORKS = _detectors.works(_pandas.read_parts)

if __name__ == "__main__":
    _kit.main(WORKS)
