"""What every peer has: one command line, one S3, and what it tells.

A peer is a script with its own dependencies (PEP 723). It defines `WORKS`: name to a function of a `Given`, which
fetches what it needs, computes, puts its result into S3 and answers a few figures, by which the harness sees that all
computed the same. The clock runs from the first call of S3 to the end of the last upload: imports and the start of the
process are told apart, as a service has them behind it.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import boto3
from boto3.s3.transfer import TransferConfig

BUCKET = "job-results"
MOST_CORRELATED, MOST_TOPPED, TOP, BINS = 50, 65_536, 10, 20
FRACTIONS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
THRESHOLDS = {"zscore": 3.0, "modified_zscore": 3.5}
KEPT_ROWS, CONSISTENCY, CONTAMINATION = 10_000, 0.6745, 0.01


@dataclass(frozen=True)
class Given:
    """`csv` and `parts` are keys in the bucket of datasets; results go under `prefix` in that of results."""

    work: str
    csv: str
    parts: list[str]
    prefix: str
    folder: Path

    def fetch(self, key):
        """Download an object as a file: several connections, as boto3 does by itself."""
        path = self.folder / key.replace("/", "-")
        client().download_file("datasets", key, str(path))
        return path

    def fetch_parts(self):
        return [self.fetch(part) for part in self.parts]

    def url(self, name):
        return f"s3://{BUCKET}/{self.prefix}{name}"

    def urls(self):
        return [f"s3://datasets/{part}" for part in self.parts]

    def put_file(self, path):
        client().upload_file(str(path), BUCKET, self.prefix + path.name, Config=TransferConfig(max_concurrency=4))

    def put_report(self, report):
        client().put_object(Bucket=BUCKET, Key=f"{self.prefix}report.json", Body=json.dumps(report, default=str))


def client(made=[]):  # noqa: B006 (one a process)
    if not made:
        made.append(
            boto3.client(
                "s3",
                endpoint_url=os.environ["S3_ENDPOINT_URL"],
                region_name=os.environ["S3_REGION"],
                aws_access_key_id=os.environ["S3_ACCESS_KEY_ID"],
                aws_secret_access_key=os.environ["S3_SECRET_ACCESS_KEY"],
            )
        )
    return made[0]


def cpu_s():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_mb():
    """The kernel's high-water mark of this process. Not ru_maxrss, which has the parent's from before the exec."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main(works):
    parser = argparse.ArgumentParser()
    parser.add_argument("work")
    parser.add_argument("--csv")
    parser.add_argument("--parts", nargs="*")
    parser.add_argument("--prefix")
    options = parser.parse_args()
    if options.work == "describe":
        print(json.dumps(list(works)))
        return
    with tempfile.TemporaryDirectory(prefix="peer ") as folder:
        given = Given(options.work, options.csv, options.parts, options.prefix, Path(folder))
        begun, used = time.monotonic(), cpu_s()
        checks = works[options.work](given)
        told = {"seconds": time.monotonic() - begun, "cpu_s": cpu_s() - used, "peak_mb": peak_mb(), "checks": checks}
    print(json.dumps(told))
