"""Promise: the console is one small page with its own files, from its own host, and never of two versions."""

import re

import httpx

from gristmill.api.console import FOLDER, load
from gristmill.api.pages import ASSETS
from tests.api.test_pages import VENDORED

MOST_LINES = 400
TAKEN = {name.removeprefix("console/") for name in VENDORED["files"] if name.startswith("console/")}


async def test_the_page_may_run_and_load_nothing_but_its_own(client: httpx.AsyncClient) -> None:
    answer = await client.get("/")
    assert answer.headers["Content-Type"].startswith("text/html")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert not [value for value in policy.values() if value not in ("'self'", "'none'")]
    assert re.findall(r"<script(?! (type=\"module\" )?src=)|<style|style=| on[a-z]+=|//", answer.text) == []
    loaded = re.findall(r'(?:src|href)="((?:console|assets)/[^"]+)"', answer.text)
    assert len(loaded) > 10
    for path in loaded:
        file = await client.get(f"/{path}")
        assert file.status_code == 200, path
        assert path.startswith("assets/") or "immutable" in file.headers["Cache-Control"], path


async def test_a_file_of_another_version_is_not_there(client: httpx.AsyncClient) -> None:
    console = load()
    assert (await client.get(f"/console/{console.build}/main.js")).content == (FOLDER / "main.js").read_bytes()
    for path in ("0000000000000000/main.js", f"{console.build}/index.html", f"{console.build}/..%2fdocs.js"):
        assert (await client.get(f"/console/{path}")).status_code == 404, path


def test_modules_are_small_and_name_only_files_that_are_there() -> None:
    files = load().files
    own = set(files) - TAKEN
    assert len(own) > 15
    for name in own:
        text = files[name].decode()
        assert text.count("\n") < MOST_LINES, name
        assert "http" not in text, f"{name} names a host"
        assert "innerHTML" not in text, name
        for imported in re.findall(r'(?:from |import\(|URL\()"([^"]+)"', text):
            assert imported.startswith("./") or name == "plot.js" or imported == "../../", (name, imported)
            assert imported == "../../" or imported.removeprefix("./") in files, (name, imported)
    assert {path.name for path in (ASSETS / "console").iterdir()} == {*files, "index.html"}


def test_what_is_loaded_before_the_first_paint_is_small() -> None:
    """Without compression, and without what later views load. The browser tests measure it."""
    console = load()
    first = {name for name in console.files if f"/{name}" in console.page.decode()}
    assert {"main.js", "console.css", "datasets.js", "preact.js"} <= first
    assert sum(len(console.files[name]) for name in first) + len(console.page) < 90_000
