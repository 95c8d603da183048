"""The docs pages and the OpenAPI document. Everything they load comes from here."""

import asyncio
from pathlib import Path

from litestar import MediaType, Request, get
from litestar.datastructures import State
from litestar.params import FromPath

from gristmill.api.answers import Response
from gristmill.api.auth import Caller
from gristmill.errors import NotFound

ASSETS = Path(__file__).parent / "assets"
MEDIA_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}

# Both pages write <style> elements and draw their pictures as data; Redoc's search runs in a worker of its own making.
POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
PAGE_HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Gristmill: {title}</title>
<link rel="icon" href="assets/icon.svg" type="image/svg+xml">
{head}</head>
<body>
<div id="page"></div>
{scripts}</body>
</html>
"""


def _page(title: str, *, styles: tuple[str, ...], scripts: tuple[str, ...]) -> bytes:
    head = "".join(f'<link rel="stylesheet" href="assets/{name}">\n' for name in styles)
    tail = "".join(f'<script src="assets/{name}"></script>\n' for name in scripts)
    return PAGE.format(title=title, head=head, scripts=tail).encode()


SWAGGER = _page("API", styles=("swagger-ui.css",), scripts=("swagger-ui-bundle.js", "docs.js"))
REDOC = _page("API reference", styles=("page.css",), scripts=("redoc.standalone.js", "redoc.js"))


@get("/docs", include_in_schema=False)
async def docs() -> Response[bytes]:
    return Response(SWAGGER, media_type=MediaType.HTML, headers=PAGE_HEADERS)


@get("/redoc", include_in_schema=False)
async def redoc() -> Response[bytes]:
    return Response(REDOC, media_type=MediaType.HTML, headers=PAGE_HEADERS)


@get("/openapi.json", include_in_schema=False)
async def openapi(request: Request[Caller, None, State]) -> Response[bytes]:
    headers = {"Cache-Control": "no-cache"}
    return Response(request.app.state.document, media_type="application/json", headers=headers)


@get("/assets/{name:str}", include_in_schema=False)
async def asset(name: FromPath[str]) -> Response[bytes]:
    # Names are compared, never joined: what is not listed is not there.
    found = await asyncio.to_thread(_read_asset, name)
    if found is None:
        raise NotFound("There is nothing at this path.")
    headers = {"Cache-Control": "public, max-age=86400"}
    return Response(found, media_type=MEDIA_TYPES[Path(name).suffix], headers=headers)


def _read_asset(name: str) -> bytes | None:
    known = {path.name: path for path in ASSETS.iterdir() if path.suffix in MEDIA_TYPES}
    return known[name].read_bytes() if name in known else None
