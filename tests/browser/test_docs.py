"""Promise: what the docs page shows can be pressed, in a real browser, and asks nobody but its own host."""

import json

from tests.browser.watched import Watched
from tests.e2e.system import System


async def answer_of(page: Watched, operation: str) -> tuple[str, str]:
    """Press an operation's button as it stands on the page; the status and the body that it then shows."""
    block = page.view.locator(f"[id$='-{operation}']")
    await block.locator(".opblock-summary-control").click()
    await block.get_by_role("button", name="Execute", exact=True).click()
    live = block.locator(".live-responses-table .response").first
    status = await live.locator(".response-col_status").inner_text()
    return status.strip().split()[0], await live.locator(".response-col_description pre").first.inner_text()


async def test_operations_are_executed_from_the_page_and_answer(page: Watched, system: System) -> None:
    dataset = (await system.upload(b"city,temperature\nOslo,4.5\nLima,19\n", "towns.csv")).raise_for_status().json()
    await page.view.goto("/docs")
    status, body = await answer_of(page, "listProcessors")
    assert status == "200"
    assert {"metrics", "normalize"} <= {kind["kind"] for kind in json.loads(body)["items"]}
    # The id on the page is an example: the newest dataset takes its place.
    status, body = await answer_of(page, "getDataset")
    assert (status, json.loads(body)["name"]) == ("200", "towns.csv")
    status, body = await answer_of(page, "submitJob")
    assert status == "202", body
    job = await system.settled(f"/jobs/{json.loads(body)['id']}")
    assert (job["status"], job["dataset_id"]) == ("completed", dataset["id"])
    assert f"{system.url}/openapi.json" in page.requested


async def test_the_reference_shows_the_operations(page: Watched) -> None:
    await page.view.goto("/redoc")
    await page.view.locator("[id$='operation/submitJob']").get_by_text("Submit a job").first.wait_for()
    assert any(url.endswith("/assets/redoc.standalone.js") for url in page.requested)
