"""What the tests of the console's pages share: data, jobs, files that are dropped, who can read a page, pictures."""

import random
from pathlib import Path
from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Locator, Page, ViewportSize

from tests.e2e.system import System

PHONE: ViewportSize = {"width": 360, "height": 740}
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"]}
SHOTS = Path(__file__).parent / "screenshots"
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

GIVE_BACK = """
UPDATE jobs SET status = 'pending', attempt = 0, started_at = NULL, lease = NULL, lease_expires_at = NULL,
    worker_id = NULL, progress = NULL
WHERE id = $1
"""


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


async def readable(view: Page, place: str) -> None:
    """It is no wider than its screen, and machines can read it."""
    wide = await view.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, f"{place} is wider than its screen by {wide} pixels"
    found = await Axe().run(view, options=RULES)
    assert found.violations_count == 0, f"{place}: {found.generate_report()}"


async def keep(view: Page, name: str, *, whole: bool = False) -> None:
    """A picture of what is on the screen, or of the whole page, as an artefact of the tests."""
    SHOTS.mkdir(exist_ok=True)
    await view.screenshot(path=SHOTS / f"{name}.png", full_page=whole)


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


async def drawn(plot: Locator) -> int:
    """How many pixels of the canvas have the colour of what is flagged.

    A copy is read: Chromium complains of a page whose canvas is read again and again.
    """
    script = """(canvas) => {
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
        copy.drawImage(canvas, 0, 0);
        const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
        let red = 0;
        for (let at = 0; at < data.length; at += 4) red += data[at] > 150 && data[at + 1] < 80 && data[at + 3] > 200;
        return red;
    }"""
    return int(await plot.locator("canvas").evaluate(script))
