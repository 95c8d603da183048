"""One job's fitted document put to other data and taken back, and a dataset beside a baseline: the whole system."""

import hashlib
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.e2e.system import System, running_system

TRAIN = b"x,city\n" + b"".join(b"%d,a\n" % n for n in range(101))
OTHER = b"x,city\n" + b"".join(b"%d,=b\n" % n for n in range(50, 250))
STEPS = [{"op": "scale", "method": "minmax"}]


async def done(system: System, kind: str, data: dict[str, str], **params: Any) -> dict[str, Any]:
    """A job's result, once it is completed."""
    answer = await system.http.post("/jobs", json={"kind": kind, "input": data, "params": params})
    assert answer.status_code == 202, answer.text
    job = await system.settled(f"/jobs/{answer.json()['id']}")
    assert job["status"] == "completed", job["error"]
    return dict((await system.http.get(f"/jobs/{job['id']}/result")).json())


async def main_file(system: System, result: dict[str, Any]) -> bytes:
    content = (await system.http.get(result["url"])).raise_for_status().content
    assert (len(content), hashlib.sha256(content).hexdigest()) == (result["size_bytes"], result["sha256"])
    return content


async def test_fitted_on_one_dataset_put_to_another_and_taken_back(environment: dict[str, str], tmp_path: Path) -> None:
    async with running_system(environment, tmp_path) as system:
        uploads = [(await system.upload(content, f"{n}.csv")).json() for n, content in enumerate((TRAIN, OTHER))]
        train, other = [{"dataset_id": made["id"]} for made in uploads]
        for made in uploads:
            assert (await system.settled(f"/datasets/{made['id']}"))["status"] == "ready"
        fitted = await done(system, "normalize", train, steps=STEPS)
        applied = await done(system, "normalize", other, fitted_from=fitted["job_id"])
        found = pl.read_parquet(await main_file(system, applied))
        assert found["x"].to_list() == pytest.approx([n / 100 for n in range(50, 250)])

        undo = {"fitted_from": fitted["job_id"], "inverse": True, "output_format": "csv", "formula_guard": True}
        back = await done(system, "normalize", {"job_id": applied["job_id"]}, **undo)
        assert (back["media_type"], back["rows"]) == ("text/csv", 200)
        table = pl.read_csv(await main_file(system, back))
        assert table["x"].to_list() == pytest.approx(list(range(50, 250)))
        assert set(table["city"]) == {"'=b"}

        moved = await done(system, "metrics", other, baseline_dataset_id=train["dataset_id"])
        x, city = moved["report"]["drift"]["columns"]
        assert (x["level"], city["level"], x["accuracy"]) == ("large", "large", {"label": "exact"})
        assert moved["report"]["drift"]["baseline_rows"] == 101
        assert x["ks"]["statistic"] == pytest.approx(149 / 200)
