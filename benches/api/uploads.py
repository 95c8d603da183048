"""Uploads: one of a gigabyte beside aiobotocore's own, and fifty at once while jobs are asked for."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benches.api.sending import upload, upload_many, write_file
from benches.api.servers import Running, Services
from benches.measuring import Found, Wanted, median, spread

OURS = "gristmill"
PEERS = ("aioboto3", "aiobotocore")
FEW, MANY = 5, 50
PROBES_PER_S = 50
MOST_MB = 100


def measure_upload(folder: Path, options: argparse.Namespace) -> Found:
    """One file, through the API and straight to the store."""
    path = write_file(folder / "file", options.mib)
    took: dict[str, list[float]] = {who: [] for who in (OURS, *PEERS)}
    with Services.open(folder / "services") as services, services.api() as api:
        for round_ in range(-1, options.rounds):
            turn = round_ % len(took)
            for who in [*took][turn:] + [*took][:turn]:
                seconds = _through_api(services, api, path) if who == OURS else _straight(services, path, who)
                if round_ >= 0:  # the first is not measured: all is warm after it
                    took[who].append(seconds)
            told = ", ".join(f"{who} {times[-1]:.2f} s" for who, times in took.items() if times)
            print(f"  {told or 'all is warm'}", flush=True)
    figures = [
        {"request": f"upload of {options.mib} MiB", "who": who, "round": round_, "seconds": seconds}
        for who, times in took.items()
        for round_, seconds in enumerate(times)
    ]
    rows = [
        f"| {who} | {median(times):.2f} | {spread(times)} | {options.mib / median(times):.0f} |"
        for who, times in took.items()
    ]
    of = {who: median([theirs / ours for ours, theirs in zip(took[OURS], took[who], strict=True)]) for who in PEERS}
    return Found(
        "\n".join(["| upload | seconds | from–to | MiB/s |", "|---|---:|---|---:|", *rows]),
        [Wanted(f"upload of {options.mib} MiB, speed of {who}'s", of[who], "at least 0.8") for who in PEERS],
        figures,
    )


def measure_crowd(folder: Path, options: argparse.Namespace) -> Found:
    """Five uploads at once and fifty: what the one API process takes, and how long a job's answer takes meanwhile."""
    path = write_file(folder / "file", options.crowd_mib)
    figures: list[dict[str, Any]] = []
    with Services.open(folder / "services") as services:
        for round_ in range(options.rounds):
            for count in (0, FEW, MANY):
                with services.api() as api:
                    if services.dataset_id.int == 0:
                        services.make_dataset(api)
                    (job_id,) = services.make_jobs(1)
                    figures.append({"round": round_, **_crowded(services, api, path, f"/jobs/{job_id}", count)})
                print(f"  {figures[-1]}", flush=True)
    of = {count: [line for line in figures if line["uploads"] == count] for count in (0, FEW, MANY)}
    names = ("peak_mb", "p50_ms", "p99_ms", "most_ms", "mib_per_s")
    medians = {count: {name: median([line[name] for line in lines]) for name in names} for count, lines in of.items()}
    rows = [f"| {count} | {' | '.join(f'{got[name]:.1f}' for name in names)} |" for count, got in medians.items()]
    head = f"| uploads of {options.crowd_mib} MiB at once | peak MB (VmHWM) | GET p50 ms | p99 ms | most ms | MiB/s |"
    return Found(
        "\n".join([head, "|---:|---:|---:|---:|---:|---:|", *rows]),
        [
            Wanted(
                f"MB that {MANY} uploads at once take more than {FEW}",
                medians[MANY]["peak_mb"] - medians[FEW]["peak_mb"],
                f"at most {MOST_MB}",
            ),
            Wanted(
                f"p99 of GET /jobs/{{id}} while {MANY} uploads come in, of its quiet p99",
                medians[MANY]["p99_ms"] / medians[0]["p99_ms"],
                "under 10",
            ),
        ],
        figures,
    )


def _through_api(services: Services, api: Running, path: Path) -> float:
    sent = upload(api, path)
    services.drop_dataset(sent.dataset_id)
    return sent.seconds


def _straight(services: Services, path: Path, way: str) -> float:
    command = [sys.executable, "-m", "benches.api.store_client", str(path), f"bench/{way}", way]
    env = {**os.environ, **services.settings.environment()}
    ended = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
    return float(json.loads(ended.stdout)["seconds"])


def _crowded(services: Services, api: Running, path: Path, job: str, count: int) -> dict[str, Any]:
    with _probing(api, job):  # not measured: code is warm after it
        time.sleep(2)
    api.forget_peak()
    begun = time.monotonic()
    with _probing(api, job) as told:
        if count == 0:
            time.sleep(10)
        sent = upload_many(api, path, count) if count else []
    seconds = time.monotonic() - begun
    for one in sent:
        services.drop_dataset(one.dataset_id)
    speed = count * path.stat().st_size / seconds / 1024**2
    return {"uploads": count, "peak_mb": api.peak_mb(), "mib_per_s": speed, **told}


@contextmanager
def _probing(api: Running, job: str) -> Iterator[dict[str, Any]]:
    """Ask for a job all the time. What was found is there at the end of the block."""
    command = [sys.executable, "-m", "benches.api.probe", str(api.port), job, str(PROBES_PER_S)]
    probe = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    told: dict[str, Any] = {}
    try:
        yield told
        said, _ = probe.communicate("", timeout=60)
        told.update(json.loads(said))
    finally:
        probe.kill()
        probe.wait()
