"""A real Chromium for tests of pages: the system's own, driven by Playwright. Where there is none they are skipped."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from gristmill.db.engine import Database
from gristmill.embedded import Endpoints
from gristmill.settings import load_settings
from tests.browser.watched import Watched, watching
from tests.databases import made
from tests.e2e.system import System, running_system
from tests.worker.dropped_in import dropped_in

# The names that it has in distributions; `CHROMIUM` names another one.
PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
MISSING = "there is no Chromium on this machine, so no page was tried in a browser; on Debian: apt-get install chromium"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here has the marker `browser`: `-m 'not browser'` leaves it out."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One headless browser for all tests; each opens a context of its own, which shares nothing with another."""
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(MISSING)
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(
            executable_path=program,
            # Its own sandbox needs rights that containers do not give; it sees our pages alone.
            chromium_sandbox=False,
            args=["--disable-dev-shm-usage", "--disable-gpu", "--no-proxy-server"],
        )
        yield opened
        await opened.close()


@pytest.fixture(scope="session")
async def pages_environment(endpoints: Endpoints, template_database: str) -> AsyncIterator[dict[str, str]]:
    async with made(endpoints, "console", template=template_database) as name:
        yield {**endpoints.environment(), "POSTGRES_DB": name}


@pytest.fixture(scope="session")
async def system(
    browser: Browser, pages_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    """One API and worker for all tests here. Named after the browser: without one nothing is started."""
    assert browser.is_connected()
    folder = tmp_path_factory.mktemp("console")
    async with running_system({**pages_environment, **dropped_in(folder / "dropped")}, folder) as running:
        yield running


@pytest.fixture
async def database(pages_environment: dict[str, str]) -> AsyncIterator[Database]:
    """The database of that API, to do there what a worker would."""
    async with Database.open(load_settings(pages_environment, env_file=None)) as opened:
        yield opened


@pytest.fixture
async def page(browser: Browser, system: System) -> AsyncIterator[Watched]:
    """A page that must stay on the system's host and have no complaints; `page.view` is Playwright's."""
    async with watching(browser, system.url) as watched:
        yield watched
