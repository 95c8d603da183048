"""Promise: what a person needs is to be had from the console, by mouse or by keys; nothing in the data can harm it."""

import hashlib
import io
import json
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import polars as pl
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Locator, Page, ViewportSize, expect

from gristmill.db.engine import Database
from gristmill.db.keys import add_key
from gristmill.domain.key import Scope, make_key
from gristmill.embedded import Endpoints
from gristmill.settings import load_settings
from tests.browser.watched import Watched, watching
from tests.databases import made
from tests.e2e.system import System, running_system

SHOTS = Path(__file__).parent / "screenshots"
FIRST_PAINT_BYTES = 100_000
PHONE: ViewportSize = {"width": 360, "height": 740}
HOSTILE = ("<img src=x onerror=alert(1)>", "__proto__", "\"'><script>alert(2)</script>", "${alert(3)}", "a" * 300)
EVIL = "<img src=x onerror=alert(4)> & <b>bold</b>"
# As a worker would: the job runs, and says how far it is.
RUN = """
UPDATE jobs SET status = 'running', attempt = 1, started_at = now(), lease = nextval('job_leases'),
    lease_expires_at = now() + interval '1 hour', worker_id = gen_random_uuid(), progress = $2
WHERE id = $1
"""
FAIL = """
UPDATE jobs SET status = 'failed', finished_at = now(), lease = NULL, lease_expires_at = NULL, worker_id = NULL,
    error = $2
WHERE id = $1
"""


@pytest.fixture(scope="module")
async def console_environment(endpoints: Endpoints, template_database: str) -> AsyncIterator[dict[str, str]]:
    async with made(endpoints, "console", template=template_database) as name:
        yield {**endpoints.environment(), "POSTGRES_DB": name}


@pytest.fixture(scope="module")
async def system(
    browser: Browser, console_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    """One API and worker for all tests here."""
    assert browser.is_connected()
    async with running_system(console_environment, tmp_path_factory.mktemp("console")) as running:
        yield running


@pytest.fixture
async def database(console_environment: dict[str, str]) -> AsyncIterator[Database]:
    async with Database.open(load_settings(console_environment, env_file=None)) as opened:
        yield opened


def readings(rows: int = 3000) -> bytes:
    """Temperatures by station with three that can't be, and a row with a cell too many."""
    chance = random.Random(7)
    lines = ["station,temperature,pressure"]
    for row in range(rows):
        value = chance.gauss(12, 3) if row % 1000 != 500 else 300.0
        lines.append(f"{chance.choice(('Ulm', 'Bonn', 'Kiel'))},{value:.2f},{chance.gauss(1013, 5):.1f}")
    return "\n".join([*lines, "Jena,1,2,3", ""]).encode()


async def ready(system: System, content: bytes, name: str) -> str:
    made_now = (await system.upload(content, name, name=name)).raise_for_status().json()
    settled = await system.settled(f"/datasets/{made_now['id']}")
    assert settled["status"] == "ready", settled
    return str(made_now["id"])


async def delayed(system: System, dataset_id: str, **more: Any) -> str:
    """A job that no worker takes today."""
    body = {"kind": "metrics", "dataset_id": dataset_id, "reuse": "none", "scheduled_at": "2099-01-01T00:00:00Z"}
    return str((await system.http.post("/jobs", json={**body, **more})).raise_for_status().json()["id"])


async def keep(view: Page, name: str) -> None:
    SHOTS.mkdir(exist_ok=True)
    await view.screenshot(path=SHOTS / f"{name}.png")


async def drop(place: Locator, name: str, content: str) -> None:
    """What a browser does when a file is dropped."""
    script = """([name, text]) => {
        const carried = new DataTransfer();
        carried.items.add(new File([text], name, { type: "text/csv" }));
        return carried;
    }"""
    carried = await place.page.evaluate_handle(script, [name, content])
    await place.dispatch_event("dragover", {"dataTransfer": carried})
    await place.dispatch_event("drop", {"dataTransfer": carried})


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
    events = view.get_by_role("listitem").filter(has=view.locator("time"))
    assert [await one.locator("b").first.inner_text() for one in await events.all()] == [
        "submitted",
        "a worker took it",
        "completed",
    ]

    job_id = view.url.rpartition("/")[2]
    told = (await system.http.get(f"/jobs/{job_id}/result")).json()
    assert told["report"]["rows_flagged"] >= 3
    async with httpx.AsyncClient() as nobody:
        link = await view.get_by_role("link", name="anomalies.parquet").get_attribute("href")
        assert link is not None
        file = (await nobody.get(link)).raise_for_status().content
    assert hashlib.sha256(file).hexdigest() == told["files"][0]["sha256"]
    assert pl.read_parquet(io.BytesIO(file))["row_number"].to_list()[:1] == [500]


async def drawn(plot: Locator) -> int:
    """How many pixels of the canvas have the colour of what is flagged."""
    script = """(canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        let red = 0;
        for (let at = 0; at < data.length; at += 4) red += data[at] > 150 && data[at + 1] < 80 && data[at + 3] > 200;
        return red;
    }"""
    return int(await plot.locator("canvas").evaluate(script))


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


async def test_names_and_errors_are_text_and_nothing_else(page: Watched, system: System, database: Database) -> None:
    view = page.view
    dialogs: list[str] = []
    view.on("dialog", lambda dialog: dialogs.append(dialog.message))
    content = pl.DataFrame({name: [f"{EVIL} {place}" for place in range(4)] for name in HOSTILE}).write_csv()
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


async def test_params_are_checked_before_they_are_sent(page: Watched, system: System) -> None:
    dataset_id = await ready(system, readings(20), "form.csv")
    view = page.view
    await view.goto(f"/#/processors/anomalies?dataset={dataset_id}")
    before = len((await system.http.get("/jobs")).json()["items"])
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
    (job, *_) = (await system.http.get("/jobs")).json()["items"]
    assert len((await system.http.get("/jobs")).json()["items"]) == before + 1
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


async def views(system: System) -> dict[str, str]:
    """A page of every view, each with something in it."""
    listed = (await system.http.get("/datasets")).json()["items"]
    dataset_id = next(item["id"] for item in listed if item["name"] == "readings.csv")
    jobs = (await system.http.get("/jobs?status=completed")).json()["items"]
    by_kind = {job["kind"]: job["id"] for job in jobs}
    return {
        "datasets": "/#/datasets",
        **{tab: f"/#/datasets/{dataset_id}/{tab}" for tab in ("profile", "rows", "rejects")},
        "jobs": "/#/jobs",
        **{kind: f"/#/jobs/{by_kind[kind]}" for kind in ("anomalies", "metrics", "normalize")},
        "form": f"/#/processors/normalize?dataset={dataset_id}",
        "queue": "/#/queue",
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_view_fits_a_phone_and_can_be_read_by_machines(
    browser: Browser, system: System, scheme: str
) -> None:
    async with watching(browser, system.url) as page:
        await page.view.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        for name, path in (await views(system)).items():
            await page.view.set_viewport_size(PHONE)
            await page.view.goto(path)
            await expect(page.view.get_by_role("heading", level=1)).to_be_visible()
            await expect(page.view.get_by_text("Loading…")).to_have_count(0)
            wide = await page.view.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{name} is wider than a phone by {wide} pixels"
            await keep(page.view, f"phone-{name}-{scheme}")
            found = await Axe().run(page.view, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"]})
            assert found.violations_count == 0, f"{name}: {found.generate_report()}"


async def test_the_console_is_worked_by_keys_alone(page: Watched, system: System) -> None:
    view = page.view
    dataset_id = await ready(system, readings(20), "keys.csv")
    await view.goto("/")
    await expect(view.get_by_role("link", name="keys.csv")).to_be_visible()
    await view.keyboard.press("Tab")
    assert await focused(view) == "To the content"
    await view.keyboard.press("Enter")
    await to(view, "keys.csv")
    await view.keyboard.press("Enter")
    await expect(view.get_by_role("heading", level=1)).to_contain_text("keys.csv")
    await to(view, "New job")
    await view.keyboard.press("Enter")
    await expect(view.get_by_role("heading", level=1)).to_have_text("New job")
    await to(view, "metrics")
    await view.keyboard.press("Enter")
    await expect(view.get_by_label("Dataset", exact=True)).to_have_value(dataset_id)
    await to(view, "Submit")
    outline = await view.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none", "who works by keys must see where they are"
    await view.keyboard.press("Enter")
    await expect(view.get_by_role("heading", level=1)).to_contain_text("metrics")
    await expect(view.get_by_role("heading", level=1)).to_contain_text("completed")


async def focused(view: Page) -> str:
    return str(await view.evaluate("document.activeElement.innerText ?? ''")).strip()


async def to(view: Page, name: str) -> None:
    """Press Tab until something of this name has the focus."""
    for _ in range(80):
        await view.keyboard.press("Tab")
        if await focused(view) == name:
            return
    raise AssertionError(f"{name} can't be reached by keys")


async def test_the_first_paint_is_light_and_themes_are_kept(page: Watched) -> None:
    view = page.view
    await view.goto("/")
    await expect(view.get_by_role("heading", level=1)).to_be_visible()
    script = """() => JSON.stringify({
        paints: performance.getEntriesByName("first-contentful-paint").length,
        loaded: [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
            .map(({ name, decodedBodySize }) => [name, decodedBodySize]),
    })"""
    told = json.loads(await view.evaluate(script))
    assert told["paints"] == 1
    sizes = dict(told["loaded"])
    assert any(name.endswith("preact.js") for name in sizes)
    assert all(size > 0 for name, size in sizes.items() if "/console/" in name), "a size that is not known"
    # All of it, the data of the first view too, without counting on compression.
    assert sum(sizes.values()) < FIRST_PAINT_BYTES, sizes
    assert not [name for name in sizes if "uplot" in name], "plots are loaded when one is drawn"

    ground = "getComputedStyle(document.documentElement).backgroundColor"
    await view.get_by_label("Theme").select_option("dark")
    dark = await view.evaluate(ground)
    await view.reload()
    assert await view.evaluate(ground) == dark
    await view.get_by_label("Theme").select_option("light")
    assert await view.evaluate(ground) != dark


async def test_a_key_is_asked_for_and_kept_for_the_tab(
    browser: Browser, environment: dict[str, str], tmp_path: Path
) -> None:
    async with Database.open(load_settings(environment, env_file=None)) as database:
        token, key = make_key("ann", [Scope.READ, Scope.WRITE])
        await add_key(database, key)
    async with running_system(environment, tmp_path, worker=False) as system, watching(browser, system.url) as page:
        view = page.view
        await view.goto("/")
        dialog = view.get_by_role("dialog", name="API key")
        await expect(dialog).to_contain_text("The server wants a key.")
        await dialog.get_by_label("Key").fill(token)
        await dialog.get_by_role("button", name="Use it").click()
        await expect(view.get_by_text("There are no datasets yet.")).to_be_visible()
        await view.goto("/#/jobs")
        await expect(view.get_by_role("status").filter(has_text="live")).to_be_visible()
        await view.reload()
        await expect(view.get_by_text("There are no jobs yet.")).to_be_visible()
        await expect(dialog).to_be_hidden()
        await view.goto("/#/queue")
        await view.get_by_role("button", name="Pause all").click()
        await view.get_by_role("button", name="Yes, pause all").click()
        await expect(view.get_by_role("alert").filter(has_text="scope admin")).to_be_visible()
        # The browser itself complains of refusals.
        page.complaints[:] = [told for told in page.complaints if not re.search("40[13]", told)]
        assert not [url for url in page.requested if token in url]
