"""Promise: a job is filled in, followed, stopped and looked at from the console, and so is the queue."""

import json
import re
from uuid import UUID

from playwright.async_api import expect

from gristmill.db.engine import Database
from tests.browser.console import FAIL, RUN, delayed, keep, readings, ready
from tests.browser.watched import Watched
from tests.e2e.system import System


async def test_a_job_is_seen_living_and_stopped(page: Watched, system: System, database: Database) -> None:
    dataset_id = await ready(system, readings(20), "living.csv")
    view = page.view
    await view.goto("/#/jobs")
    await expect(view.get_by_role("status").filter(has_text="live")).to_be_visible()
    job_id = await delayed(system, dataset_id)
    row = view.get_by_role("row").filter(has_text=job_id[-8:])
    await expect(row).to_contain_text("pending")
    async with database.driver() as driver:
        for done in (1000, 3000):
            progress = {"stage": "fit", "done": done, "total": 4000, "unit": "rows", "seconds_left": 7}
            await driver.execute(RUN, UUID(job_id), json.dumps(progress))
            await expect(row).to_contain_text(f"{done:,} rows of 4,000 ({done // 40} %)")
    await expect(row).to_contain_text("about 7.0 s left")
    await expect(row).to_contain_text(re.compile(r"rows/s"))
    await row.get_by_role("link").first.click()
    await view.get_by_role("button", name="Cancel").click()
    await expect(view.get_by_role("heading", level=1)).to_contain_text("canceling")
    await expect(view.get_by_text("asked to stop")).to_be_visible()
    error = {"code": "stalled", "title": "It did not get on", "detail": "Its worker is a test.", "errors": []}
    async with database.driver() as driver:
        await driver.execute(FAIL, UUID(job_id), json.dumps(error))

    waiting = await delayed(system, dataset_id)
    await view.goto(f"/#/jobs/{waiting}")
    await expect(view.get_by_text(re.compile(r"Due at Jan 1, 2099, .+, in [\d,]+ d \d+ h\."))).to_be_visible()
    await view.get_by_role("button", name="Cancel").click()
    await expect(view.get_by_role("heading", level=1)).to_contain_text("canceled")
    assert (await system.http.get(f"/jobs/{waiting}")).json()["status"] == "canceled"
    await view.get_by_role("button", name="Retry").click()
    await expect(view.get_by_text("submitted again")).to_be_visible()
    assert (await system.settled(f"/jobs/{waiting}"))["status"] == "completed"
    await expect(view.get_by_role("heading", level=1)).to_contain_text("completed")
    # Another one is removed by somebody else while the list is open.
    await view.goto("/#/jobs?status=completed")
    row = view.get_by_role("row").filter(has_text=waiting[-8:])
    await expect(row).to_be_visible()
    (await system.http.delete(f"/jobs/{waiting}")).raise_for_status()
    await expect(row).to_have_count(0)


async def test_attempts_and_their_errors_are_told_in_order(page: Watched, system: System) -> None:
    dataset_id = await ready(system, readings(20), "attempts.csv")
    body = {"kind": "misbehave", "dataset_id": dataset_id, "params": {"die": True}, "max_attempts": 2}
    job = (await system.http.post("/jobs", json=body)).raise_for_status().json()
    assert (await system.settled(f"/jobs/{job['id']}"))["status"] == "failed"
    view = page.view
    await view.goto(f"/#/jobs/{job['id']}")
    steps = view.get_by_role("listitem").filter(has=view.locator("time"))
    words = ["submitted", "a worker took it", "this attempt failed; it is tried again", "a worker took it", "failed"]
    await expect(steps).to_have_count(len(words))
    assert [await one.locator("b").first.inner_text() for one in await steps.all()] == words
    await expect(steps.nth(3)).to_contain_text("attempt 2")
    for place in (2, 4):
        await expect(steps.nth(place).locator(".why")).to_be_visible()
    await expect(view.get_by_role("definition").filter(has_text="2 of 2")).to_be_visible()
    await expect(view.get_by_role("definition").get_by_role("link", name="attempts.csv")).to_be_visible()


async def test_the_list_is_filtered_and_lives_without_polling(page: Watched, system: System) -> None:
    dataset_id = await ready(system, readings(20), "filtered.csv")
    view = page.view
    await view.goto("/#/jobs")
    await view.get_by_label("Status").select_option("pending")
    await view.get_by_label("Kind").select_option("metrics")
    await expect(view).to_have_url(re.compile("status=pending&kind=metrics"))
    await expect(view.get_by_role("status").filter(has_text="live")).to_be_visible()
    jobs = view.get_by_role("region", name="Jobs").get_by_role("row")
    first = await delayed(system, dataset_id)
    await expect(jobs.filter(has_text=first[-8:])).to_be_visible()
    asked = len(page.requested)
    second = await delayed(system, dataset_id)
    other = await delayed(system, dataset_id, kind="anomalies", params={"method": "zscore"})
    await expect(jobs.filter(has_text=second[-8:])).to_be_visible()
    (await system.http.post(f"/jobs/{first}/cancel")).raise_for_status()
    await expect(jobs.filter(has_text=first[-8:])).to_have_count(0)
    await expect(jobs.filter(has_text=other[-8:])).to_have_count(0)
    assert len(page.requested) == asked, "all of it came by the one stream"


async def test_params_are_checked_before_they_are_sent(page: Watched, system: System) -> None:
    dataset_id = await ready(system, readings(20), "form.csv")
    view = page.view
    await view.goto(f"/#/processors/anomalies?dataset={dataset_id}")
    listed = f"/jobs?dataset_id={dataset_id}"
    before = len((await system.http.get(listed)).json()["items"])
    await view.get_by_label("threshold", exact=True).fill("-1")
    await view.get_by_role("button", name="Submit").click()
    await expect(view.get_by_label("threshold", exact=True)).to_have_attribute("aria-invalid", "true")
    await expect(view.get_by_text("It must be above 0.").first).to_be_visible()
    assert not [url for url in page.requested if "validate_only" in url], "it was not asked about"
    await view.get_by_label("threshold", exact=True).fill("4.5")
    await view.get_by_label("columns: what it is").select_option("these columns")
    await view.get_by_role("checkbox", name="temperature").check()
    await view.get_by_label("method", exact=True).select_option("rolling")
    await view.get_by_role("button", name="Submit").click()
    # What only the server knows comes from there, and stands at its place too.
    await expect(view.get_by_role("alert")).to_contain_text("/params/")
    await view.get_by_label("method", exact=True).select_option("iqr")
    await view.get_by_role("button", name="Submit").click()
    await expect(view.get_by_role("heading", level=1)).to_contain_text("anomalies")
    await expect(view.get_by_role("heading", level=1)).to_contain_text("completed")
    (job, *_) = (await system.http.get(listed)).json()["items"]
    assert len((await system.http.get(listed)).json()["items"]) == before + 1
    told = {name: value for name, value in job["params"].items() if value is not None}
    assert (told["threshold"], told["columns"], told["method"]) == (4.5, ["temperature"], "iqr")
    # The browser notes each answer of 422 itself.
    page.complaints[:] = [told for told in page.complaints if "422" not in told]


async def test_the_queue_is_watched_and_paused(page: Watched, system: System) -> None:
    dataset_id = await ready(system, readings(20), "queue.csv")
    await delayed(system, dataset_id)
    view = page.view
    await view.goto("/#/queue")
    kinds = view.get_by_role("region", name="Kinds")
    await expect(kinds.get_by_role("row", name=re.compile("^metrics"))).to_be_visible()
    await expect(view.get_by_role("region", name="Workers").get_by_role("row")).to_have_count(2)
    await expect(view.get_by_role("img", name=re.compile("became final by minute: [1-9]"))).to_be_visible()
    mill = view.locator(".mill")
    await expect(mill).to_contain_text(re.compile(r"^idle 0 run, nothing waits, \d+ completed in the last 5 minutes"))
    throughput = view.get_by_role("region", name="Throughput")
    await expect(throughput).to_contain_text("failed, % (right)")
    await expect(throughput.locator("canvas")).to_be_visible()
    await kinds.get_by_role("button", name="Pause metrics").click()
    await expect(kinds.get_by_role("button", name="Resume metrics")).to_be_visible()
    job = (await system.submit(dataset_id, spearman=True)).raise_for_status().json()
    waits = kinds.get_by_role("row", name=re.compile("^metrics 1"))
    await expect(waits).to_be_visible()
    await expect(mill).to_contain_text(re.compile("^paused Every kind that waits is paused: 0 run, 1 wait"))
    await expect(view.get_by_role("region", name="Depth").locator("canvas")).to_be_visible()
    await keep(view, "queue")
    await kinds.get_by_role("button", name="Resume metrics").click()
    assert (await system.settled(f"/jobs/{job['id']}"))["status"] == "completed"
    await expect(waits).to_have_count(0)
