# /// script
# requires-python = ">=3.11"
# dependencies = ["celery[redis]==5.7.0", "pandas==3.1.*", "pyarrow", "boto3"]
# ///
"""Datasets the usual way: Celery on Redis, boto3, pandas. A task downloads a CSV file, computes, uploads a result.

tasks.py worker               # two processes, acknowledged when done
tasks.py submit KIND KEY ...  # tasks, one a key; each notes when it ended
tasks.py wait N               # until N have ended; prints their ends, in order, in seconds
"""

import io
import json
import os
import sys
import time

import boto3
import pandas as pd
from celery import Celery

app = Celery("usual", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.update(
    broker_connection_retry_on_startup=True, task_acks_late=True, worker_prefetch_multiplier=16, worker_concurrency=2
)
_s3 = []


def s3():
    """One client a process, made after the fork."""
    if not _s3:
        _s3.append(
            boto3.client(
                "s3",
                endpoint_url=os.environ["S3_ENDPOINT_URL"],
                region_name=os.environ["S3_REGION"],
                aws_access_key_id=os.environ["S3_ACCESS_KEY_ID"],
                aws_secret_access_key=os.environ["S3_SECRET_ACCESS_KEY"],
            )
        )
    return _s3[0]


def read(key):
    return pd.read_csv(io.BytesIO(s3().get_object(Bucket="datasets", Key=key)["Body"].read()))


def write(key, content):
    s3().put_object(Bucket="job-results", Key=key, Body=content)


@app.task(name="metrics")
def metrics(key, n):
    report = read(key).describe(percentiles=[0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99], include="all")
    write(f"usual/{n}.json", report.to_json().encode())
    note()
    return report.shape[0]


@app.task(name="normalize")
def normalize(key, n):
    frame = read(key)
    numbers = frame.select_dtypes("number")
    frame[numbers.columns] = (numbers - numbers.mean()) / numbers.std()
    file = io.BytesIO()
    frame.to_parquet(file)
    write(f"usual/{n}.parquet", file.getvalue())
    note()
    return len(frame)


def note():
    app.backend.client.rpush("ends", time.time())


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        sys.argv[1:] = []
        app.worker_main(["worker", "--loglevel=WARNING"])
    elif sys.argv[1] == "wait":
        while app.backend.client.llen("ends") < int(sys.argv[2]):
            time.sleep(0.05)
        print(json.dumps(sorted(map(float, app.backend.client.lrange("ends", 0, -1)))))
    else:
        kind, *keys = sys.argv[2:]
        for number, key in enumerate(keys):
            app.send_task(kind, (key, number))
