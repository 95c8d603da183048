"""Promise: an admin keeps keys from the console, sees each new one once, and is not locked out by it; nobody else is
shown the page.
"""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from gristmill.db.engine import Database
from gristmill.db.keys import add_key, keys_exist
from gristmill.domain.key import Scope, make_key
from gristmill.embedded import Endpoints
from tests.browser.console import PHONE, readable
from tests.browser.watched import Watched, watching
from tests.databases import made
from tests.e2e.system import System, running_system

EVIL = "<img src=x onerror=alert(1)>"
# All that a page keeps beyond itself.
KEPT = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"


@pytest.fixture(scope="module")
async def pages_environment(endpoints: Endpoints, template_database: str) -> AsyncIterator[dict[str, str]]:
    async with made(endpoints, "keys", template=template_database) as name:
        yield {**endpoints.environment(), "POSTGRES_DB": name}


@pytest.fixture(scope="module")
async def system(
    browser: Browser, pages_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    """One API for all tests here; nobody works."""
    assert browser.is_connected()
    async with running_system(pages_environment, tmp_path_factory.mktemp("keys"), worker=False) as running:
        yield running


@asynccontextmanager
async def with_key(browser: Browser, system: System, database: Database, *scopes: Scope) -> AsyncIterator[Watched]:
    """A page in a tab that has a key of root's."""
    token, key = make_key("root", scopes, name="the tab's")
    await add_key(database, key)
    async with watching(browser, system.url) as page:
        await page.view.context.grant_permissions(["clipboard-read", "clipboard-write"])
        script = f"sessionStorage.getItem('gristmill.key') ?? sessionStorage.setItem('gristmill.key', '{token}')"
        await page.view.add_init_script(script)
        yield page


def row(view: Page, name: str) -> Locator:
    return view.get_by_role("region", name="Keys").get_by_role("row").filter(has_text=name)


async def token_shown(view: Page) -> str:
    return await view.get_by_role("textbox", name="The new key").input_value()


async def test_the_first_key_closes_the_door_and_the_tab_goes_on_with_it(
    page: Watched, system: System, database: Database
) -> None:
    assert not await keys_exist(database), "this test comes first"
    view = page.view
    await view.set_viewport_size(PHONE)
    await view.goto("/")
    await view.get_by_role("link", name="Keys").click()
    await expect(view.get_by_role("heading", name="There are no keys yet")).to_be_visible()
    await readable(view, "the page without keys")
    assert await view.get_by_label("Owner, whose data it reaches").input_value() == "local"
    await view.get_by_role("button", name="Make it").click()
    await expect(view.get_by_role("heading", name="The new key of local is shown this once")).to_be_focused()
    token = await token_shown(view)
    await expect(row(view, token.split("_")[1])).to_contain_text("in use here")
    assert (await system.http.get("/jobs")).status_code == 401, "from now on it needs a key"
    assert (await system.http.get("/keys", headers={"Authorization": f"Bearer {token}"})).status_code == 200
    await expect(view.get_by_role("button", name="Key ✓")).to_be_visible()
    await view.get_by_role("link", name="Datasets").click()
    await expect(view.get_by_text("There are no datasets yet.")).to_be_visible()
    await expect(view.get_by_role("dialog")).to_be_hidden()


async def test_a_key_is_made_copied_rotated_and_revoked(browser: Browser, system: System, database: Database) -> None:
    async with with_key(browser, system, database, Scope.ADMIN) as page:
        view = page.view
        await view.goto("/#/keys")
        await view.get_by_text("Make a key").click()
        await view.get_by_label("Owner, whose data it reaches").fill("ann")
        await view.get_by_label("Name, what it is for").fill(EVIL)
        await view.get_by_role("checkbox", name=re.compile("^write")).uncheck()
        await view.get_by_label("Expires").select_option("in 30 days")
        await view.get_by_role("button", name="Make it").click()
        await view.get_by_role("button", name="Copy").click()
        await expect(view.get_by_text("Copied.")).to_be_visible()
        first = await token_shown(view)
        assert await view.evaluate("navigator.clipboard.readText()") == first
        told = (await system.http.get("/whoami", headers={"Authorization": f"Bearer {first}"})).json()
        assert (told["owner"], told["scopes"]) == ("ann", ["read"])
        await expect(row(view, EVIL)).to_contain_text("ann")
        assert await view.evaluate("document.querySelectorAll('main img, [onerror]').length") == 0
        assert first not in await view.evaluate(KEPT), "only the tab's own key is kept"
        await view.get_by_role("button", name="I have it").click()
        assert first.split("_")[2] not in await view.content()

        await row(view, EVIL).get_by_role("button", name=f"Rotate {EVIL}").click()
        dialog = view.get_by_role("dialog", name=f"Rotate {EVIL}")
        await dialog.get_by_label("The old one stays valid for").select_option("an hour")
        await dialog.get_by_role("button", name="Rotate it").click()
        await expect(view.get_by_text("is valid until")).to_be_visible()
        second = await token_shown(view)
        assert second != first
        old = row(view, "rotated to")
        await expect(old).to_contain_text(second.split("_")[1])
        assert await view.get_by_role("button", name=f"Rotate {EVIL}").count() == 1, "the old one not again"

        await old.get_by_role("button", name=f"Revoke {EVIL}").click()
        assert (await system.http.get("/whoami", headers={"Authorization": f"Bearer {first}"})).status_code == 200
        await old.get_by_role("button", name=f"Yes, revoke {EVIL}").click()
        await expect(view.get_by_text(f"{EVIL} is revoked.")).to_be_focused()
        await expect(old).to_have_count(0)
        assert (await system.http.get("/whoami", headers={"Authorization": f"Bearer {first}"})).status_code == 401
        await view.get_by_label("Status").select_option("revoked")
        await expect(row(view, first.split("_")[1])).to_contain_text("revoked")
        await view.get_by_label("Status").select_option("all")
        await view.get_by_label("Owner", exact=True).fill("ann")
        await view.get_by_label("Owner", exact=True).press("Enter")
        await expect(view.get_by_role("region", name="Keys").get_by_role("row")).to_have_count(3)
        assert not [url for url in page.requested if "gm_" in url]


async def test_the_key_in_use_can_be_rotated_and_not_revoked(
    browser: Browser, system: System, database: Database
) -> None:
    async with with_key(browser, system, database, Scope.ADMIN) as page:
        view = page.view
        await view.goto("/#/keys")
        own = row(view, "in use here")
        await expect(own.get_by_role("button")).to_have_text(["Rotate"])
        await own.get_by_role("button", name="Rotate").click()
        dialog = view.get_by_role("dialog")
        overlaps = dialog.get_by_label("The old one stays valid for").get_by_role("option")
        assert await overlaps.all_inner_texts() == ["an hour", "a day", "a week", "30 days"], "never at once"
        await dialog.get_by_role("button", name="Rotate it").click()
        await expect(view.get_by_text("This tab uses it from now on.")).to_be_visible()
        token = await token_shown(view)
        assert token in await view.evaluate(KEPT)
        await expect(own).to_contain_text(token.split("_")[1])
        await expect(row(view, "rotated to").get_by_role("button", name="Revoke")).to_have_count(1)


async def test_another_admins_change_is_seen_when_asked_for(
    browser: Browser, system: System, database: Database
) -> None:
    async with with_key(browser, system, database, Scope.ADMIN) as page:
        view = page.view
        await view.goto("/#/keys")
        await expect(row(view, "in use here")).to_be_visible()
        asked = len(page.requested)
        _, key = make_key("ben", [Scope.READ], name="ben's")
        await add_key(database, key)
        await view.get_by_role("button", name="Refresh").click()
        await expect(row(view, "ben's")).to_be_visible()
        assert len(page.requested) == asked + 1, "one look, and nobody polls"


async def test_it_is_told_before_the_last_admins_key_expires(
    browser: Browser, system: System, database: Database
) -> None:
    """The other admins' keys are away meanwhile."""
    async with database.driver() as driver:
        await driver.execute("UPDATE api_keys SET revoked_at = now() WHERE revoked_at IS NULL")
    async with with_key(browser, system, database, Scope.ADMIN) as page:
        view = page.view
        warning = view.get_by_role("alert").filter(has_text="nobody is an admin any more")
        await view.goto("/#/keys")
        await expect(row(view, "in use here")).to_be_visible()
        await expect(warning).to_have_count(0)
        async with database.driver() as driver:
            await driver.execute(
                "UPDATE api_keys SET expires_at = now() + interval '75 hours' WHERE revoked_at IS NULL"
            )
        await view.reload()
        await expect(warning).to_contain_text("In 3 days nobody is an admin any more")
        await expect(warning).to_contain_text("the tab's")
        await view.set_viewport_size(PHONE)
        await readable(view, "the warning")
        await view.get_by_text("Make a key").click()
        await view.get_by_label("Owner, whose data it reaches").fill("root")
        await view.get_by_role("checkbox", name=re.compile("^admin")).check()
        await view.get_by_role("button", name="Make it").click()
        await expect(view.get_by_role("heading", name="The new key of root")).to_be_visible()
        await expect(warning).to_have_count(0)


async def test_who_is_no_admin_is_not_led_to_it(browser: Browser, system: System, database: Database) -> None:
    async with with_key(browser, system, database, Scope.READ, Scope.WRITE) as page:
        view = page.view
        await view.goto("/")
        await expect(view.get_by_text("There are no datasets yet.")).to_be_visible()
        await expect(view.get_by_role("link", name="Queue")).to_be_visible()
        await expect(view.get_by_role("link", name="Keys")).to_have_count(0)
        await view.goto("/#/keys")
        await expect(view.get_by_role("alert").first).to_contain_text("scope admin")
        # The browser itself complains of refusals.
        page.complaints[:] = [told for told in page.complaints if "403" not in told]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_fits_a_phone_and_is_worked_by_keys(
    browser: Browser, system: System, database: Database, scheme: str
) -> None:
    async with with_key(browser, system, database, Scope.ADMIN) as page:
        view = page.view
        await view.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        await view.set_viewport_size(PHONE)
        await view.goto("/#/keys?status=all")
        await expect(row(view, "in use here")).to_be_visible()
        await view.get_by_text("Make a key").focus()
        await view.keyboard.press("Enter")
        await to(view, "Owner, whose data it reaches")
        await view.keyboard.type(f"by keys, {scheme}")
        await to(view, "Make it")
        await readable(view, "the form")
        await view.keyboard.press("Enter")
        await expect(view.get_by_role("heading", level=2).first).to_be_focused()
        await readable(view, "a new key")
        made_now = row(view, f"by keys, {scheme}")
        name = (await made_now.locator(".id").inner_text()).strip()
        await to(view, f"Rotate {name}")
        await view.keyboard.press("Enter")
        await expect(view.get_by_role("dialog")).to_be_visible()
        await readable(view, "the dialog")
        await view.keyboard.press("Escape")
        assert await focused(view) == f"Rotate {name}", "back to where it came from"
        await to(view, f"Revoke {name}")
        await view.keyboard.press("Enter")
        await view.keyboard.press("Enter")
        await expect(view.get_by_text(f"{name} is revoked.")).to_be_focused()


async def focused(view: Page) -> str:
    """The name of what has the focus."""
    script = """() => {
        const at = document.activeElement;
        return at.ariaLabel || at.labels?.[0]?.innerText || at.innerText || "";
    }"""
    return str(await view.evaluate(script)).strip()


async def to(view: Page, name: str) -> None:
    """Press Tab until something of this name has the focus."""
    for _ in range(80):
        await view.keyboard.press("Tab")
        if await focused(view) == name:
            return
    raise AssertionError(f"{json.dumps(name)} can't be reached by keys")
