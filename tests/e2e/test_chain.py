"""Jobs on each other's results, submitted before anything has run, end with the figures of the whole chain."""

from pathlib import Path

from tests.e2e.system import running_system

CSV = b"city,degrees\n" + b"".join(b"town %d,%d\n" % (n, n if n < 99 else 9900) for n in range(100))

SCALE = {"steps": [{"op": "scale", "method": "minmax"}]}


async def test_normalize_then_anomalies_then_figures(environment: dict[str, str], tmp_path: Path) -> None:
    async with running_system(environment, tmp_path) as system:
        dataset = (await system.upload(CSV, "towns.csv")).json()
        scaled = (await system.submit(dataset["id"], "normalize", **SCALE)).json()
        chain = [scaled["id"]]
        for kind, params in (("anomalies", {}), ("normalize", SCALE), ("metrics", {})):
            body = {"kind": kind, "input": {"job_id": chain[-1]}, "params": params}
            answer = await system.http.post("/jobs", json=body)
            assert answer.status_code == 202, answer.text
            chain.append(answer.json()["id"])
        jobs = [await system.settled(f"/jobs/{job_id}") for job_id in chain]
        assert [job["status"] for job in jobs] == ["completed"] * 4, [job["error"] for job in jobs]
        assert [job["result"]["rows_in"] for job in jobs[:2]] == [100, 100]
        assert jobs[2]["result"]["rows_in"] == jobs[1]["result"]["rows_out"], "the outliers that were found"
        assert jobs[3]["result"]["rows_in"] == jobs[2]["result"]["rows_out"]
        types = [event["type"] for event in (await system.http.get(f"/jobs/{chain[3]}/events")).json()["items"]]
        assert types == ["created", "released", "claimed", "completed"]


async def test_a_chain_ends_with_a_clear_problem_where_it_breaks(environment: dict[str, str], tmp_path: Path) -> None:
    async with running_system(environment, tmp_path) as system:
        dataset = (await system.upload(CSV, "towns.csv")).json()
        # Checked against the columns when they are known, so it is accepted and fails.
        broken = (await system.submit(dataset["id"], "anomalies", columns=["nothing like it"])).json()
        last = (await system.http.post("/jobs", json={"kind": "metrics", "input": {"job_id": broken["id"]}})).json()
        assert (await system.settled(f"/jobs/{broken['id']}"))["error"]["type"].endswith(":invalid-request")
        ended = await system.settled(f"/jobs/{last['id']}")
        assert ended["status"] == "failed"
        assert ended["error"]["type"].endswith(":input-failed")
        assert broken["id"] in ended["error"]["detail"]
