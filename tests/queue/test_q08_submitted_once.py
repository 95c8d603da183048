"""Q8: identical work is joined or reused, and the answer says so. More in tests/db/test_dependents.py."""

import asyncio
from pathlib import Path

from tests.e2e.system import running_system


async def test_twins_posted_at_once_are_computed_once(environment: dict[str, str], tmp_path: Path) -> None:
    async with running_system(environment, tmp_path) as system:
        dataset = (await system.upload(b"a,b\n1,2\n3,4\n", "x.csv")).json()
        twins = [answer.json() for answer in await asyncio.gather(*(system.submit(dataset["id"]) for _ in range(8)))]
        jobs = [await system.settled(f"/jobs/{twin['id']}") for twin in twins]
        assert {job["status"] for job in jobs} == {"completed"}
        (leader,) = [job["id"] for job in jobs if job["reused_from"] is None]
        assert {job["reused_from"] for job in jobs} == {None, leader}
        digests = {(await system.http.get(f"/jobs/{job['id']}/result")).json()["files"][0]["sha256"] for job in jobs}
        assert len(digests) == 1
