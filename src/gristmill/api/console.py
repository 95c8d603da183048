"""The console at `/`: a page, its styles and its modules, from this folder and no other place.

The files' paths carry a digest of all of them. So a browser keeps them for good, and a page never meets the modules of
another version.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from litestar import MediaType, Request, get
from litestar.datastructures import State
from litestar.params import FromPath

from gristmill.api.answers import Response
from gristmill.api.auth import Caller
from gristmill.api.pages import MEDIA_TYPES
from gristmill.errors import NotFound

FOLDER = Path(__file__).parent / "assets" / "console"
PAGE = "index.html"
# In the page, where the digest goes.
BUILD = "BUILD"
BUILD_SIGNS = 16
POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
PAGE_HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
FILE_HEADERS = {"Cache-Control": "public, max-age=31536000, immutable"}


@dataclass(frozen=True)
class Console:
    """All that it is made of, read once: under 200 kB."""

    build: str
    page: bytes
    files: dict[str, bytes]


def load() -> Console:
    """Read the folder. Blocking."""
    files = {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in MEDIA_TYPES}
    page = (FOLDER / PAGE).read_bytes()
    digest = hashlib.sha256(page)
    for name, content in files.items():
        digest.update(name.encode())
        digest.update(content)
    build = digest.hexdigest()[:BUILD_SIGNS]
    return Console(build, page.replace(BUILD.encode(), build.encode()), files)


@get("/", include_in_schema=False)
async def index(request: Request[Caller, None, State]) -> Response[bytes]:
    console: Console = request.app.state.console
    return Response(console.page, media_type=MediaType.HTML, headers=PAGE_HEADERS)


@get("/console/{build:str}/{name:str}", include_in_schema=False)
async def console_file(
    request: Request[Caller, None, State], build: FromPath[str], name: FromPath[str]
) -> Response[bytes]:
    console: Console = request.app.state.console
    if build != console.build or name not in console.files:
        raise NotFound("There is nothing at this path.")
    return Response(console.files[name], media_type=MEDIA_TYPES[Path(name).suffix], headers=FILE_HEADERS)
