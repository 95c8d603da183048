"""A receiver of webhooks: notes what comes, and answers as it is told to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook


@dataclass
class Receiver:
    """`answers` are used up one by one; after that it is 204."""

    url: str = ""
    answers: list[web.Response | web.HTTPException] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def verified(self, place: int, secret: str) -> dict[str, Any]:
        """A message as the specification has it checked."""
        headers, body = self.got[place]
        told: dict[str, Any] = Webhook(secret).verify(body, headers)
        return told

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        self.got.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        answer = self.answers.pop(0) if self.answers else web.Response(status=204)
        if isinstance(answer, web.HTTPException):
            raise answer
        return answer


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    receiver.url = f"http://{host}:{port}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()
