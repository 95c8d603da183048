"""Promise: every page of the console can be read and worked by everybody: on a phone, by keys, by machines."""

import json
import re
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Browser, Page, ViewportSize, expect

from gristmill.db.engine import Database
from gristmill.db.keys import add_key
from gristmill.domain.key import Scope, make_key
from gristmill.settings import load_settings
from tests.browser.console import DESKTOP, PHONE, delayed, keep, readable, readings, ready
from tests.browser.watched import Watched, watching
from tests.e2e.system import System, running_system

FIRST_PAINT_BYTES = 100_000
# What is drawn last in a view.
DRAWN = {
    "dataset-profile": re.compile("Histogram of temperature"),
    "metrics": re.compile("Histogram of temperature"),
    "anomalies": re.compile("flagged values of temperature"),
    "normalize": re.compile("pressure after"),
    "queue": re.compile("became final by minute"),
}


@pytest.fixture(scope="session")
async def views(system: System) -> dict[str, str]:
    """A page of every view, each with something in it."""
    dataset_id = await ready(system, readings(), "readings.csv")
    baseline_id = await ready(system, readings(500), "baseline.csv")
    broken = (
        (await system.upload(b"PK\x03\x04 no workbook", "broken.xlsx", name="broken.xlsx")).raise_for_status().json()
    )
    params: dict[str, tuple[str, dict[str, object]]] = {
        "anomalies": ("anomalies", {"method": "modified_zscore", "columns": ["temperature"]}),
        "metrics": ("metrics", {"spearman": True}),
        "drift": ("metrics", {"baseline_dataset_id": baseline_id}),
        "normalize": ("normalize", {"steps": [{"op": "scale", "method": "zscore", "columns": ["pressure"]}]}),
        "failed": ("misbehave", {"die": True}),
    }
    jobs = {"canceled": await delayed(system, dataset_id)}
    (await system.http.post(f"/jobs/{jobs['canceled']}/cancel")).raise_for_status()
    for name, (kind, given) in params.items():
        body = {"kind": kind, "dataset_id": dataset_id, "params": given, "max_attempts": 2}
        jobs[name] = (await system.http.post("/jobs", json=body)).raise_for_status().json()["id"]
    for job_id in jobs.values():
        await system.settled(f"/jobs/{job_id}")
    await system.settled(f"/datasets/{broken['id']}")
    jobs["pending"] = await delayed(system, dataset_id)
    return {
        "datasets": "/#/datasets",
        **{f"dataset-{tab}": f"/#/datasets/{dataset_id}/{tab}" for tab in ("profile", "rows", "rejects", "jobs")},
        "broken": f"/#/datasets/{broken['id']}",
        "jobs": "/#/jobs",
        **{name: f"/#/jobs/{job_id}" for name, job_id in jobs.items()},
        "kinds": "/#/processors",
        "form": f"/#/processors/normalize?dataset={dataset_id}",
        "queue": "/#/queue",
        "keys": "/#/keys",
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_every_view_fits_its_screen_and_can_be_read_by_machines(
    browser: Browser, system: System, views: dict[str, str], scheme: Literal["light", "dark"], size: ViewportSize
) -> None:
    """And it is kept as a picture, for people to look at."""
    async with watching(browser, system.url) as page:
        await page.view.emulate_media(color_scheme=scheme)
        await page.view.set_viewport_size(size)
        for name, path in views.items():
            await page.view.goto(path)
            await expect(page.view.get_by_role("heading", level=1)).to_be_visible()
            if name in DRAWN:
                await expect(page.view.get_by_role("img", name=DRAWN[name]).first).to_be_visible()
            await expect(page.view.get_by_text("Loading…")).to_have_count(0)
            await keep(page.view, f"{'phone' if size is PHONE else 'desktop'}-{name}-{scheme}", whole=True)
            await readable(page.view, f"{name}, {scheme}, {size}")


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
