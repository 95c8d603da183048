"""Jobs share a worker's memory: big ones do not meet, and nobody waits for ever."""

from pathlib import Path
from uuid import uuid4

import msgspec
import polars as pl

from gristmill.db import jobs
from gristmill.domain.job import Claim, JobStatus
from gristmill.settings import MIB, Settings
from gristmill.worker import memory
from gristmill.worker.attempt import Attempt
from gristmill.worker.room import MOST_PASSES, Room, memory_to_share
from tests.worker.dropped_in import dropped_in
from tests.worker.rig import OWNER, Bench, ready, running

LEASES = iter(range(1, 1_000_000))


def attempt(need: int) -> Attempt:
    made = Attempt(Claim(uuid4(), "ann", "metrics", msgspec.Raw(b"{}"), 1, 5, next(LEASES), 60, uuid4()))
    made.need = need
    return made


def test_two_big_ones_do_not_meet_and_small_ones_pass() -> None:
    room = Room(100, budget=80, slots=2)
    first, second, small = attempt(70), attempt(70), attempt(20)
    for each in (first, second, small):
        room.join(each)
    assert room.admit() is first
    assert room.open
    assert room.admit() is small
    assert room.admit() is None
    room.release(first)
    assert room.admit() is second


def test_one_that_is_over_everything_runs_alone() -> None:
    room = Room(50, budget=80, slots=2)
    huge, small = attempt(500), attempt(1)
    room.join(huge)
    room.join(small)
    assert room.admit() is huge
    assert room.admit() is None
    room.release(huge)
    assert room.admit() is small


def test_a_big_one_is_passed_so_often_and_no_more() -> None:
    room = Room(100, budget=80, slots=1)
    before = attempt(30)
    room.join(before)
    assert room.admit() is before
    big = attempt(80)
    room.join(big)
    passed, last = 0, before
    for _ in range(10 * MOST_PASSES):
        room.join(attempt(30))
        found = room.admit()
        if found is None:
            break
        assert found is not big
        room.release(last)
        last, passed = found, passed + 1
    assert passed == MOST_PASSES
    assert not room.open
    room.release(last)
    assert room.admit() is big, "it waited for what ran, and for nothing else"


async def test_a_held_job_keeps_its_lease_and_runs_or_is_canceled(
    bench: Bench, environment: dict[str, str], tmp_path: Path
) -> None:
    knowing = {**environment, **dropped_in(tmp_path / "dropped")}
    small = await ready(bench)
    big = await ready(bench, pl.DataFrame({f"c{n}": range(300_000) for n in range(12)}))
    first = await bench.job(big, "misbehave", b'{"freeze": true}')
    async with running(knowing, tmp_path, CONCURRENCY="2", WORKER_MEMORY_MB="400", LEASE_S="2") as worker:
        await bench.until_status(first, JobStatus.RUNNING)
        second, third = await bench.job(big, "misbehave"), await bench.job(big, "misbehave")
        await worker.until_event("job.held")
        held = {event["job_id"] for event in worker.events("job.held")}
        await bench.until_status(await bench.job(small), JobStatus.COMPLETED)
        assert (await bench.look(first)).status is JobStatus.RUNNING, "a small job passes while the big one runs"
        (canceled,) = [job_id for job_id in (second, third) if str(job_id) in held][:1]
        (other,) = {second, third} - {canceled}
        assert await jobs.cancel_job(bench.database, canceled, owner=OWNER) is JobStatus.RUNNING
        await bench.until_status(canceled, JobStatus.CANCELED)
        assert (await bench.look(first)).status is JobStatus.RUNNING, "a held job is canceled where it stands"
        assert await jobs.cancel_job(bench.database, first, owner=OWNER) is JobStatus.RUNNING
        await bench.until_status(other, JobStatus.COMPLETED)
    assert await bench.events(other) == ["created", "claimed", "completed"], (
        "held beyond its lease, it was never given back"
    )


def test_what_linux_says(tmp_path: Path) -> None:
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    own = cgroups / "pod" / "box"
    for folder in (proc / "self", proc / "7", own):
        folder.mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    (proc / "vmstat").write_text("oom_kill 3\n")
    (proc / "7" / "status").write_text(
        "VmRSS:\t900 kB\nRssAnon:\t100 kB\nRssFile:\t790 kB\nRssShmem:\t10 kB\nVmSwap:\t5 kB\n"
    )
    assert memory.memory_of(7, proc=proc) == 115 * 1024, "pages of files are the kernel's to take back"
    assert memory.memory_of(8, proc=proc) is None
    assert memory.usable_memory(proc=proc, cgroups=cgroups) == 7200 * 1024
    assert memory.oom_kills(proc=proc, cgroups=cgroups) == 3
    (proc / "self" / "cgroup").write_text("1:cpu:/x\n0::/pod/box\n")
    (own / "memory.max").write_text("max\n")
    (own.parent / "memory.max").write_text("1000000\n")
    (own / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    assert memory.usable_memory(proc=proc, cgroups=cgroups) == 900_000, "the cgroup above is the tighter one"
    assert memory.oom_kills(proc=proc, cgroups=cgroups) == 1


def test_what_is_shared_out(settings: Settings) -> None:
    chosen = settings.model_copy(update={"worker_memory_mb": 700})
    assert memory_to_share(chosen) == 700 * MIB
    default = memory_to_share(settings.model_copy(update={"concurrency": 1}))
    usable = memory.usable_memory()
    assert default == 512 * MIB or (usable is not None and default <= 512 * MIB)
