# /// script
# requires-python = ">=3.11"
# dependencies = ["scikit-learn==1.9.*", "pandas==3.1.*", "pyarrow", "boto3"]
# ///
"""scikit-learn's scalers on what pandas reads from the CSV; the result written as Parquet."""

import _kit
import _pandas
import _scalers

WORKS = _scalers.works(_pandas.read_csv)

if __name__ == "__main__":
    _kit.main(WORKS)
