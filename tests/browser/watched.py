"""A browser page and all that it did: requests, complaints, breaches of its policy."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.async_api import Browser, ConsoleMessage, Page, Request

# A breach of the Content-Security-Policy is an event of the document; the console tells of it too, but not of all.
REPORT_BREACHES = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`breach of ${event.effectiveDirective}: ${event.blockedURI}`));
"""
LIMIT_MS = 20_000


@dataclass  # not frozen: Playwright writes on whose methods it calls
class Watched:
    """`view` is the page; `complaints` are errors and warnings of its console and uncaught errors of its scripts."""

    view: Page
    url: str
    requested: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    # Other hosts that it may be led to: those of presigned URLs, for downloads.
    guests: set[str] = field(default_factory=set)

    def strangers(self) -> list[str]:
        """What was asked of another host. Data within the page and objects of its own making are asked of none."""
        known = {urlsplit(self.url).netloc, *self.guests}
        return [url for url in self.requested if not _is_known(url, known)]

    def note_request(self, request: Request) -> None:
        self.requested.append(request.url)

    def note_message(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")

    def note_error(self, error: Exception) -> None:
        self.complaints.append(f"uncaught: {error}")


@asynccontextmanager
async def watching(browser: Browser, url: str) -> AsyncIterator[Watched]:
    """A fresh page in a context of its own. At the end it must have asked no other host, and complained of nothing."""
    context = await browser.new_context(base_url=url)
    context.set_default_timeout(LIMIT_MS)
    try:
        view = await context.new_page()
        watched = Watched(view, url)
        context.on("request", watched.note_request)
        view.on("console", watched.note_message)
        view.on("pageerror", watched.note_error)
        await view.add_init_script(REPORT_BREACHES)
        yield watched
        assert watched.strangers() == []
        assert watched.complaints == [], watched.complaints
    finally:
        await context.close()


def _is_known(url: str, known: set[str]) -> bool:
    parts = urlsplit(url)
    return parts.scheme in {"data", "blob"} or parts.netloc in known
