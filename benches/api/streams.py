"""Many idle streams of events on one API process: its memory, its connections to PostgreSQL, its CPU while all wait."""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from benches.api.servers import Running, Services
from benches.measuring import Found, Wanted

JOBS = 1000
IDLE_S = 30
SPARE_FILES = 1000
CONNECTIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'gristmill-api'"
)


def measure(folder: Path, options: argparse.Namespace) -> Found:
    """`--streams` of them over a thousand jobs that wait."""
    allow_files(options.streams + SPARE_FILES)
    with Services.open(folder / "services") as services, services.api() as api:
        services.make_dataset(api)
        paths = folder / "paths"
        jobs = [f"/jobs/{job_id}" for job_id in services.make_jobs(JOBS)]
        paths.write_text("\n".join(jobs))
        before = api.memory_mb()
        begun = time.monotonic()
        command = [sys.executable, "-m", "benches.api.followers", str(api.port), str(options.streams), str(paths)]
        followers = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            figures = {"streams": options.streams, **_followed(services, api, followers, jobs[0], begun)}
        finally:
            followers.kill()
            followers.wait()
        figures["kib_each"] = (figures["memory_mb"] - before) * 1024 / options.streams
    heads = {
        "streams": "streams",
        "memory_mb": "memory MB (VmRSS)",
        "kib_each": "KiB a stream",
        "connections": "connections to PostgreSQL",
        "idle_cpu": "cores busy while all wait",
        "opened_s": "s to open them",
        "told_ms": "ms from a cancel to the last who follows it",
    }
    table = "\n".join(
        [
            f"| {' | '.join(heads.values())} |",
            "|---:" * len(heads) + "|",
            f"| {' | '.join(f'{figures[name]:,.6g}' for name in heads)} |",
        ]
    )
    size = services.settings.postgres_pool_size
    wanted = Wanted(
        f"connections to PostgreSQL of {options.streams} idle streams", figures["connections"], f"at most {size}"
    )
    return Found(table, [wanted], [figures])


def _followed(
    services: Services, api: Running, followers: "subprocess.Popen[str]", job: str, begun: float
) -> dict[str, Any]:
    assert followers.stdin is not None
    assert followers.stdout is not None
    assert followers.stdout.readline() == "open\n", "the streams did not open"
    opened_s = time.monotonic() - begun
    cpu_s = api.cpu_s()
    time.sleep(IDLE_S)
    idle_cpu = (api.cpu_s() - cpu_s) / IDLE_S
    memory_mb, connections = api.memory_mb(), services.sql(CONNECTIONS)
    followers.stdin.write(f"{job}\n")
    followers.stdin.flush()
    asked = time.monotonic()
    httpx.post(f"{api.url}{job}/cancel", timeout=60).raise_for_status()
    assert followers.stdout.readline() == "told\n"
    told_ms = (time.monotonic() - asked) * 1e3
    return {
        "opened_s": opened_s,
        "idle_cpu": idle_cpu,
        "memory_mb": memory_mb,
        "connections": connections,
        "told_ms": told_ms,
    }


def allow_files(count: int) -> None:
    """Let this process and those it starts have so many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        assert hard == resource.RLIM_INFINITY or hard >= count, f"only {hard} files may be open: ulimit -Hn {count}"
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
