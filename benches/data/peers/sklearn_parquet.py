# /// script
# requires-python = ">=3.11"
# dependencies = ["scikit-learn==1.9.*", "pandas==3.1.*", "pyarrow", "boto3"]
# ///
"""As `sklearn_`, from the Parquet parts."""

import _kit
import _pandas
import _scalers

WORKS = _scalers.works(_pandas.read_parts)

if __name__ == "__main__":
    _kit.main(WORKS)
