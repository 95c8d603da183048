"""A dataset of 1,000 rows in a warm process with nothing around it: what any service for such jobs has to live with.

    floor.py JOBS OBJECTS < keys     # keys of Parquet objects; prints when each job ended, in seconds

One GET, Polars in memory, and as many PUTs as `OBJECTS`: the table, and small documents beside it. No queue, and no
other process.
"""

import io
import os
import sys
import time

import obstore
import polars as pl
from obstore.store import S3Store
from polars import selectors


def main() -> None:
    jobs, objects = int(sys.argv[1]), int(sys.argv[2])
    keys = sys.stdin.read().split()
    given, made = (bucket(name) for name in ("datasets", "job-results"))
    for n in range(jobs):
        frame = pl.read_parquet(obstore.get(given, keys[n % len(keys)]).bytes().to_bytes())
        numbers = selectors.numeric()
        file = io.BytesIO()
        frame.with_columns((numbers - numbers.mean()) / numbers.std()).write_parquet(file, compression="zstd")
        prefix = f"floor/{os.getpid()}/{n}"
        obstore.put(made, f"{prefix}.parquet", file.getvalue(), use_multipart=False)
        for other in range(1, objects):
            obstore.put(made, f"{prefix}-{other}.json", b"{}", use_multipart=False)
        print(time.time())


def bucket(name: str) -> S3Store:
    return S3Store(
        name,
        endpoint=os.environ["S3_ENDPOINT_URL"],
        region=os.environ["S3_REGION"],
        access_key_id=os.environ["S3_ACCESS_KEY_ID"],
        secret_access_key=os.environ["S3_SECRET_ACCESS_KEY"],
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


if __name__ == "__main__":
    main()
