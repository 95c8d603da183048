"""Promise: from a file to what is odd in it, and to the bytes of the result, without writing a line."""

import asyncio
import hashlib
import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import polars as pl
import pytest
from playwright.async_api import Locator, expect

from gristmill.db.engine import Database
from tests.browser.console import FAIL, GIVE_BACK, RUN, delayed, drawn, drop, keep, readings, ready
from tests.browser.watched import Watched
from tests.e2e.system import System

HOSTILE = ("<img src=x onerror=alert(1)>", "__proto__", "\"'><script>alert(2)</script>", "${alert(3)}", "a" * 300)
EVIL = "<img src=x onerror=alert(4)> & <b>bold</b>"


async def test_from_a_file_to_a_plotted_anomaly_and_its_download(page: Watched, system: System) -> None:
    view = page.view
    await view.set_viewport_size({"width": 1200, "height": 860})
    await view.goto("/")
    await view.get_by_label("Files to upload").set_input_files(
        {"name": "readings.csv", "mimeType": "text/csv", "buffer": readings()}
    )
    await expect(view.get_by_role("heading", level=1)).to_contain_text("readings.csv ready")
    await expect(view.get_by_role("img", name=re.compile("Histogram of temperature"))).to_be_visible()
    await expect(view.get_by_role("table").filter(has_text="Pearson")).to_be_visible()
    await keep(view, "profile")
    await view.get_by_role("link", name="Rejected 1").click()
    await expect(view.get_by_role("row", name=re.compile("3,002 4 extra cells Jena,1,2,3"))).to_be_visible()
    await view.get_by_role("link", name="Rows", exact=True).click()
    await view.get_by_label("From row").fill("2500")
    await view.get_by_role("button", name="Go").click()
    await expect(view.get_by_role("row", name=re.compile("^2,500 "))).to_contain_text("300")

    await view.get_by_role("link", name="New job").last.click()
    await view.get_by_role("link", name="anomalies").first.click()
    await view.get_by_role("button", name="Check only").click()
    await expect(view.get_by_text("It fits.")).to_be_visible()
    await view.get_by_role("button", name="Submit").click()
    await expect(view.get_by_role("heading", level=1)).to_contain_text("completed")
    plot = view.get_by_role("img", name=re.compile("flagged values of temperature, outside of"))
    await expect(plot.locator("canvas")).to_be_visible()
    assert await drawn(plot) > 50
    await keep(view, "anomalies")
    await view.get_by_label("Only around the bounds").check()
    await expect(view.get_by_text("3 that lie beyond are drawn at the edge")).to_be_visible()
    assert await drawn(plot) > 50
    events = view.get_by_role("listitem").filter(has=view.locator("time"))
    assert [await one.locator("b").first.inner_text() for one in await events.all()] == [
        "submitted",
        "a worker took it",
        "completed",
    ]

    job_id = view.url.rpartition("/")[2]
    told = (await system.http.get(f"/jobs/{job_id}/result")).json()
    assert told["report"]["rows_flagged"] >= 3
    page.guests.add(urlsplit(told["files"][0]["url"]).netloc)
    file = await fetched(view.get_by_role("link", name="anomalies.parquet"), "anomalies.parquet")
    assert hashlib.sha256(file).hexdigest() == told["files"][0]["sha256"]
    assert pl.read_parquet(io.BytesIO(file))["row_number"].to_list()[:1] == [500]
    # A link that is too old by now is renewed by the press itself.
    await view.clock.set_fixed_time(datetime.now(UTC) + timedelta(hours=2))
    asked = len([url for url in page.requested if url.endswith("/result")])
    assert await fetched(view.get_by_role("link", name="anomalies.parquet"), "anomalies.parquet") == file
    assert len([url for url in page.requested if url.endswith("/result")]) == asked + 1
    await view.get_by_role("definition").get_by_role("link").first.click()
    assert await fetched(view.get_by_role("button", name="Download"), "readings.csv") == readings()
    await expect(view.get_by_role("heading", level=1)).to_contain_text("readings.csv")


async def fetched(button: Locator, name: str) -> bytes:
    """What a press of a button or link brings onto the disk."""
    async with button.page.expect_download() as download:
        await button.click()
    file = await download.value
    assert file.suggested_filename == name
    return await asyncio.to_thread(Path.read_bytes, await file.path())


async def test_bytes_are_counted_while_they_are_sent(page: Watched, system: System) -> None:
    """Over a slow line, so that they can be seen."""
    view = page.view
    await view.goto("/")
    line = await view.context.new_cdp_session(view)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 150_000}
    await line.send("Network.emulateNetworkConditions", slow)
    await drop(view.locator(".drop"), "slow.csv", "n\n" + "1234567\n" * 40_000)
    await expect(view.get_by_text(re.compile(r"\d+ kB of 320 kB \(\d+ %\), \d+ kB/s, about .+ left"))).to_be_visible()
    await expect(view.get_by_role("progressbar", name="Sending slow.csv")).to_be_visible()
    await expect(view.get_by_role("heading", level=1)).to_contain_text("slow.csv ready")
    await expect(view.get_by_role("definition").filter(has_text="40,000")).to_have_count(2)


async def test_a_file_is_read_again_as_somebody_wants_it(page: Watched, system: System) -> None:
    view = page.view
    await view.goto("/")
    await drop(view.locator(".drop"), "numbers.csv", "10,20\n30,40\nx,y\n")
    await expect(view.get_by_role("heading", level=1)).to_contain_text("numbers.csv ready")
    facts = view.get_by_role("region", name="Read as")
    await expect(facts).to_contain_text("delimitercomma")
    first = view.url
    await view.get_by_role("button", name="Read it otherwise…").click()
    await view.get_by_label("Header").select_option("there is none")
    await view.get_by_label("Types").select_option("all text")
    await view.get_by_role("button", name="Read again").click()
    await expect(view).not_to_have_url(first)
    await expect(view.get_by_role("heading", level=1)).to_contain_text("numbers.csv ready")
    await expect(facts).to_contain_text("headerno")
    await expect(view.get_by_role("heading", level=3).first).to_contain_text("String")


async def test_rows_are_counted_while_they_are_read(page: Watched, system: System, database: Database) -> None:
    """Ingest is paused, so that what a worker would say can be said slowly; then a real one goes on."""
    view = page.view
    (await system.http.post("/queue/pause?kind=ingest")).raise_for_status()
    try:
        await view.goto("/")
        await drop(view.locator(".drop"), "slowly.csv", "n\n1\n2\n3\n")
        await expect(view.get_by_text("Waits for a worker…")).to_be_visible()
        (job,) = (await system.http.get("/jobs", params={"kind": "ingest", "status": "pending"})).json()["items"]
        async with database.driver() as driver:
            progress = {"stage": "read", "done": 2, "total": 3, "unit": "rows", "seconds_left": 4}
            await driver.execute(RUN, UUID(job["id"]), json.dumps(progress))
            ingest = view.get_by_role("region", name="Ingest")
            await expect(ingest).to_contain_text("2 rows of 3 (67 %)")
            await expect(ingest.get_by_role("progressbar")).to_be_visible()
            await driver.execute(GIVE_BACK, UUID(job["id"]))
    finally:
        (await system.http.post("/queue/resume?kind=ingest")).raise_for_status()
    await expect(view.get_by_role("heading", level=1)).to_contain_text("slowly.csv ready")


async def test_a_file_that_can_not_be_read_may_be_read_otherwise(page: Watched, system: System) -> None:
    view = page.view
    await view.goto("/")
    await view.get_by_text("How to read them").click()
    await view.get_by_label("Format").select_option("xlsx")
    await drop(view.locator(".drop"), "table.xlsx", "a;b\n1;2\n")
    await expect(view.get_by_role("heading", level=1)).to_contain_text("table.xlsx failed")
    await expect(view.get_by_role("alert")).to_be_visible()
    tabs = view.get_by_role("navigation", name="Of this dataset").get_by_role("link")
    await expect(tabs).to_have_text(["Jobs"])
    await expect(view.get_by_role("listitem").filter(has_text="metrics failed")).to_be_visible()
    await view.get_by_label("Format").select_option("csv")
    await view.get_by_role("button", name="Read again").click()
    await expect(view.get_by_role("heading", level=1)).to_contain_text("table.xlsx ready")
    await expect(view.get_by_role("region", name="Read as")).to_contain_text("delimitersemicolon")


async def test_a_profile_says_what_is_odd_in_each_column(page: Watched, system: System) -> None:
    """A gap, a value far from all others, a time that stands still for a while, and no list of what occurs once."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    lines = ["time,level,same"]
    for row in range(400):
        at = start + timedelta(minutes=10 * row + (390 if row > 200 else 0))
        level = 900.0 if row == 77 else 10 + row % 7
        lines.append(f"{at:%Y-%m-%d %H:%M},{level if row % 20 else ''},x")
    dataset_id = await ready(system, "\n".join(lines).encode(), "odd.csv")
    view = page.view
    await view.goto(f"/#/datasets/{dataset_id}")

    def column(name: str) -> Locator:
        return view.get_by_role("listitem").filter(has=view.get_by_role("heading", name=re.compile(f"^{name} ")))

    await expect(column("level")).to_contain_text("5.0 % missing")
    missing = column("level").locator("meter.nulls")
    assert await missing.evaluate("(bar) => [bar.value, bar.max]") == [20, 400]
    await expect(column("level")).to_contain_text("far from the others: 900")
    time = column("time")
    for words in ("step 10 min", "largest 6 h 40 min", "1 of 399 steps differ", "every value is another"):
        await expect(time).to_contain_text(words)
    assert "PT" not in await time.inner_text()
    await expect(time.get_by_role("list")).to_have_count(0)
    await expect(column("same")).to_contain_text("always the same")
    await column("level").get_by_role("link", name="Find anomalies").click()
    await expect(view.get_by_label("Dataset", exact=True)).to_have_value(dataset_id)


async def test_warnings_of_the_reading_are_told(page: Watched, system: System) -> None:
    content = "year,café\n2020,München\n".encode("cp1252")
    dataset_id = await ready(system, content, "warned.csv")
    told = (await system.http.get(f"/datasets/{dataset_id}/profile")).json()["warnings"]
    assert told
    await page.view.goto(f"/#/datasets/{dataset_id}")
    for text in told:
        await expect(page.view.get_by_role("listitem").filter(has_text=text)).to_be_visible()


async def test_drift_names_first_what_has_changed_and_against_what(page: Watched, system: System) -> None:
    old = pl.DataFrame({"steady": [row % 10 for row in range(1000)], "moved": range(1000), "gone": range(1000)})
    new = old.drop("gone").with_columns(
        moved=pl.when(pl.col("moved") % 4 == 0).then(None).otherwise(pl.col("moved") + 500)
    )
    before, after = [await ready(system, one.write_csv().encode(), "drift.csv") for one in (old, new)]
    job = (await system.submit(after, baseline_dataset_id=before)).raise_for_status().json()
    await system.settled(f"/jobs/{job['id']}")
    report = (await system.http.get(f"/jobs/{job['id']}/result")).json()["report"]
    found = next(column for column in report["drift"]["columns"] if column["name"] == "moved")
    view = page.view
    await view.goto(f"/#/jobs/{job['id']}")
    section = view.get_by_role("region", name="What has changed")
    await expect(section).to_contain_text("1 of 2 columns changed against the baseline of 1,000 rows")
    await expect(section).to_contain_text("Only in the baseline: gone")
    rows = section.get_by_role("table").get_by_role("row")
    assert (await rows.nth(1).get_by_role("cell").all_inner_texts())[1] == "large"
    await expect(rows.nth(1)).to_contain_text(re.compile("^moved"))
    cells = await rows.nth(1).get_by_role("cell").all_inner_texts()
    assert float(cells[0]) == pytest.approx(found["psi"], rel=1e-3)
    assert float(cells[2]) == pytest.approx(found["ks"]["statistic"], rel=1e-3)
    assert cells[3:5] == ["0 %", "25 %"]
    await expect(rows.nth(2)).to_contain_text(re.compile("^steady"))
    figures = view.get_by_role("region", name="Figures of numbers").get_by_role("row")
    await expect(figures.filter(has_text="moved")).to_contain_text("1,499")
    await section.get_by_role("link", name="the baseline").click()
    await expect(view).to_have_url(re.compile(before))


async def test_what_is_not_exact_says_so_and_nothing_has_no_sign(page: Watched, system: System) -> None:
    """Far more distinct values than are kept, and two columns that are correlated by -0.002."""
    rows = 150_000
    frame = pl.DataFrame({"id": [f"user-{row}" for row in range(rows)], "n": range(rows)})
    dataset_id = await ready(system, frame.with_columns(even=1 - pl.col("n") % 2).write_csv().encode(), "many.csv")
    job = (await system.submit(dataset_id, spearman=True)).raise_for_status().json()
    await system.settled(f"/jobs/{job['id']}")
    view = page.view
    await view.goto(f"/#/jobs/{job['id']}")
    column = view.get_by_role("listitem").filter(has=view.get_by_role("heading", name=re.compile("^id ")))
    await expect(column).to_contain_text("about 1")
    await expect(column).to_contain_text("distinct: approximate (relative standard error 0.0")
    await expect(column).to_contain_text("top values: approximate")
    cells = view.get_by_role("table").filter(has_text="Pearson").get_by_role("cell")
    assert "0.00" in (texts := await cells.all_inner_texts())
    assert "-0.00" not in texts


async def test_normalize_shows_each_column_before_and_after(page: Watched, system: System) -> None:
    dataset_id = await ready(system, readings(), "normal.csv")
    steps = [{"op": "scale", "method": "zscore", "columns": ["pressure"]}]
    job = (await system.submit(dataset_id, "normalize", steps=steps)).raise_for_status().json()
    await system.settled(f"/jobs/{job['id']}")
    await page.view.goto(f"/#/jobs/{job['id']}")
    for side in ("before", "after"):
        await expect(page.view.get_by_role("img", name=re.compile(f"^pressure {side}:"))).to_be_visible()
    after = page.view.get_by_role("img", name=re.compile("^pressure after: -[234]"))
    await expect(after).to_be_visible()


async def test_names_and_errors_are_text_and_nothing_else(page: Watched, system: System, database: Database) -> None:
    view = page.view
    dialogs: list[str] = []
    view.on("dialog", lambda dialog: dialogs.append(dialog.message))
    content = pl.DataFrame({name: [f"{EVIL} {place}" for place in range(4)] * 2 for name in HOSTILE}).write_csv()
    await view.goto("/")
    await drop(view.locator(".drop"), f"{EVIL}.csv", content)
    await expect(view.get_by_role("heading", level=1)).to_contain_text(f"{EVIL}.csv ready")
    for name in HOSTILE:
        await expect(view.get_by_role("heading", level=3).filter(has_text=name)).to_be_visible()
    await expect(view.get_by_text(f"{EVIL} 0", exact=True).first).to_be_visible()
    dataset_id = view.url.rpartition("/")[2]
    await view.goto(f"/#/datasets/{dataset_id}/rows")
    await expect(view.get_by_role("columnheader").filter(has_text=HOSTILE[0])).to_be_visible()
    await view.goto(f"/#/processors/normalize?dataset={dataset_id}")
    await view.get_by_label("subset: what it is").select_option("these columns")
    await expect(view.get_by_role("checkbox", name=HOSTILE[2])).to_be_visible()
    job_id = await delayed(system, dataset_id, labels={"a": EVIL})
    error = {"code": "bad-data", "title": EVIL, "detail": f"Column {HOSTILE[0]}: {EVIL}", "errors": []}
    async with database.driver() as driver:
        await driver.execute(FAIL, UUID(job_id), json.dumps(error))
    await view.goto(f"/#/jobs/{job_id}")
    await expect(view.get_by_role("alert")).to_contain_text(f"Column {HOSTILE[0]}: {EVIL}")
    await view.goto("/#/jobs")
    await expect(view.get_by_text(f"Column {HOSTILE[0]}: {EVIL}")).to_be_visible()
    made_of = "document.querySelectorAll('main img, main script, main b b, [onerror]').length"
    assert await view.evaluate(made_of) == 0
    assert dialogs == []
