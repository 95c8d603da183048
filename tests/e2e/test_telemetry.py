"""A job seen from outside: its trace from the request to the executor, metrics of API and worker, its log lines."""

import json
from pathlib import Path

import httpx

from gristmill import __version__
from tests.e2e.collector import Collector, Seen, collecting
from tests.e2e.system import free_port, running_system
from tests.exposition import parsed
from tests.worker.rig import until

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADERS = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
CSV = b"city,temperature\n" + b"".join(b"Oslo,%d\n" % n for n in range(100))


async def test_one_job_is_traced_counted_and_logged(environment: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    with collecting() as collector:
        given = {
            **environment,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "METRICS_PORT": str(port),
        }
        async with running_system(given, tmp_path) as system:
            for path in ("/console/0000000000000000/main.js", "/assets/icon.svg", "/health/live"):
                await system.http.get(path, headers=HEADERS)  # files and probes are not worth a span
            uploading = system.http.post("/datasets", files={"file": ("towns.csv", CSV)}, headers=HEADERS)
            dataset = (await uploading).raise_for_status().json()["id"]
            assert (await system.settled(f"/datasets/{dataset}"))["status"] == "ready"
            asked = {"kind": "normalize", "dataset_id": dataset, "params": {"steps": [{"op": "drop_duplicates"}]}}
            job = (await system.http.post("/jobs", json=asked, headers=HEADERS)).raise_for_status().json()["id"]
            assert (await system.settled(f"/jobs/{job}"))["status"] == "completed"
            of_api = parsed((await system.http.get("/metrics")).raise_for_status().text)
            async with httpx.AsyncClient() as scraper:
                of_worker = parsed((await scraper.get(f"http://127.0.0.1:{port}/metrics")).raise_for_status().text)
            await until_job_is_told(collector)
        logs = {name: system.log(name) for name in ("api", "worker")}
    check_trace([span for span in collector.spans if span.trace == TRACE], job)
    check_metrics_of_api(of_api)
    check_metrics_of_worker(of_worker)
    for name in ("job.claimed", "job.outcome"):
        lines = [line for line in map(json.loads, logs["worker"].splitlines()) if line["event"] == name]
        assert {line["trace_id"] for line in lines} == {TRACE}
    (stored,) = [line for line in map(json.loads, logs["api"].splitlines()) if line["event"] == "upload.stored"]
    assert stored["trace_id"] == TRACE


async def until_job_is_told(collector: Collector) -> None:
    async def told() -> bool:
        return {"job ingest", "job normalize", "submitJob"} <= {span.name for span in collector.spans}

    await until(told, "the spans of the jobs arrive")


def check_trace(spans: list[Seen], job: str) -> None:
    """Each span has the right parent, in the right process, and lies within it."""
    by_id = {span.id: span for span in spans}
    assert len(by_id) == len(spans)
    requests = {span.name: span for span in spans if span.parent == CALLER}
    assert set(requests) == {"createDataset", "submitJob"}
    submitted = next(span for span in spans if span.name == "enqueue" and span.parent == requests["submitJob"].id)
    ingest = next(span for span in spans if span.name == "job ingest")
    normalize = next(span for span in spans if span.name == "job normalize")
    assert by_id[ingest.parent] == requests["createDataset"]
    assert by_id[normalize.parent] == submitted
    assert {submitted.service, requests["submitJob"].service} == {"gristmill-api"}
    assert {normalize.service, ingest.service} == {"gristmill-worker"}
    assert normalize.attributes["gristmill.job.id"] == job
    assert normalize.attributes["gristmill.job.outcome"] == "completed"
    inner = {span.name: span for span in spans if span.parent == normalize.id}
    assert set(inner) == {"claim wait", "run", "commit"}
    steps = {span.name for span in spans if span.parent == inner["run"].id}
    assert steps == {"read", "plan", "fit", "write"}
    for span in spans:
        above = by_id.get(span.parent)
        assert span.began_ns <= span.ended_ns
        if above is not None and above.service == span.service:
            assert above.began_ns <= span.began_ns, (above.name, span.name)
            assert span.ended_ns <= above.ended_ns, (above.name, span.name)


def check_metrics_of_api(found: dict[str, float]) -> None:
    assert found['gristmill_http_requests_total{operation="submitJob",status="2xx"}'] == 1
    assert found['gristmill_http_request_seconds_count{operation="createDataset"}'] == 1
    assert found["gristmill_upload_bytes_total"] == len(CSV)
    assert found['gristmill_database_seconds_count{outcome="ok"}'] > 0
    assert found[f'gristmill_workers{{version="{__version__}"}}'] == 1
    assert found[f'gristmill_worker_slots{{version="{__version__}"}}'] == 1
    assert found['gristmill_s3_seconds_count{operation="PutObject",outcome="ok"}'] == 1
    assert not any("jobs_claimed" in name and value for name, value in found.items())


def check_metrics_of_worker(found: dict[str, float]) -> None:
    for kind in ("ingest", "normalize"):
        assert found[f'gristmill_jobs_claimed_total{{kind="{kind}"}}'] == 1
        assert found[f'gristmill_job_outcomes_total{{kind="{kind}",outcome="completed"}}'] == 1
        assert found[f'gristmill_job_run_seconds_count{{kind="{kind}"}}'] == 1
        assert found[f'gristmill_job_wait_seconds_count{{kind="{kind}"}}'] == 1
        assert found[f'gristmill_executor_peak_memory_bytes_sum{{kind="{kind}"}}'] > 1e6
        assert found[f'gristmill_job_rows_total{{direction="read",kind="{kind}"}}'] == 100
        assert found[f'gristmill_job_result_bytes_total{{kind="{kind}"}}'] > 100
    assert found["gristmill_executor_starts_total"] == 1
    assert found["gristmill_worker_jobs"] == 0
    assert found["gristmill_job_commit_seconds_count"] == 2
    # Counted by the executor, told by its supervisor.
    assert found['gristmill_s3_seconds_count{operation="GetObject",outcome="ok"}'] >= 2
    assert found["process_resident_memory_bytes"] > 1e7
