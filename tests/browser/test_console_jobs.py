"""Promise: a job is filled in, followed, stopped and looked at from the console, and so is the queue."""

import json
import re
from uuid import UUID

from playwright.async_api import expect

from gristmill.db.engine import Database
from tests.browser.console import RUN, delayed, keep, readings, ready
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

    waiting = await delayed(system, dataset_id)
    await view.goto(f"/#/jobs/{waiting}")
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
    await kinds.get_by_role("button", name="Pause metrics").click()
    await expect(kinds.get_by_role("button", name="Resume metrics")).to_be_visible()
    job = (await system.submit(dataset_id, spearman=True)).raise_for_status().json()
    waits = kinds.get_by_role("row", name=re.compile("^metrics 1"))
    await expect(waits).to_be_visible()
    await keep(view, "queue")
    await kinds.get_by_role("button", name="Resume metrics").click()
    assert (await system.settled(f"/jobs/{job['id']}"))["status"] == "completed"
    await expect(waits).to_have_count(0)
