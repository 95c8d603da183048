"""The application, put together, and the server that runs it."""

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

import msgspec
import uvicorn
from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.enums import HttpMethod, ScopeType
from litestar.exceptions import HTTPException

from gristmill import metrics, tracing
from gristmill.api import batch, console, datasets, health, jobs, keys, pages, processors, queue, schedules, webhooks
from gristmill.api.access import check_access
from gristmill.api.answers import Response
from gristmill.api.auth import Gate, authenticated, refuse_open_door
from gristmill.api.bodies import JsonRequest
from gristmill.api.changes import update_dataset
from gristmill.api.completion import complete_upload
from gristmill.api.compression import compression_config
from gristmill.api.descriptions import KINDS
from gristmill.api.document import ROUTER_PATH, Structs, completed, openapi_config
from gristmill.api.events import list_job_events
from gristmill.api.examples import with_examples
from gristmill.api.given import dependencies, give_directly
from gristmill.api.headers import IS_HEAD
from gristmill.api.kinds import with_kinds
from gristmill.api.limits import Quotas, Rates
from gristmill.api.links import with_links
from gristmill.api.live import Live, feeds, follow_jobs, follow_queue
from gristmill.api.memory import return_garbage, return_large_buffers
from gristmill.api.metrics import QueueFigures, Watched, get_metrics
from gristmill.api.originals import download_dataset
from gristmill.api.presigned import abort_upload, look_at_upload
from gristmill.api.problems import on_defect, on_http_error, on_our_error
from gristmill.api.profile import get_profile
from gristmill.api.queries import with_checked_query
from gristmill.api.reading import PageReader
from gristmill.api.rejects import download_rejects, list_rejects
from gristmill.api.remembered import ReadyDatasets
from gristmill.api.removal import delete_dataset, delete_job
from gristmill.api.results import get_result
from gristmill.api.rows import list_result_rows, list_rows
from gristmill.api.watch import Watcher
from gristmill.db.engine import Database
from gristmill.db.migrations import head_revision
from gristmill.domain.role import Role
from gristmill.errors import ConfigurationError, DatabaseUnavailable, GristmillError
from gristmill.objects import ObjectStore
from gristmill.processors import discover
from gristmill.settings import Settings
from gristmill.telemetry import get_logger

if TYPE_CHECKING:
    from litestar.types import (
        ControllerRouterHandler,
        HTTPScope,
        LifeSpanReceive,
        LifeSpanScope,
        LifeSpanSend,
        Receive,
        Scope,
        Send,
    )

log = get_logger(__name__)

BACKLOG = 2048
KEEP_ALIVE_S = 75
STOP_S = 15
ACCEPTED_IN_A_TURN = 8
# What a page of another site may read of an answer's headers.
EXPOSED = (
    "ETag",
    "Idempotent-Replayed",
    "Link",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Request-Id",
)
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Application(Litestar):
    """Answers HEAD as GET (the server leaves the body out), watches every request, and has no pages but ours."""

    async def __call__(
        self,
        scope: "Scope | LifeSpanScope",
        receive: "Receive | LifeSpanReceive",
        send: "Send | LifeSpanSend",
    ) -> None:
        if scope["type"] != ScopeType.HTTP:
            await super().__call__(scope, receive, send)
            return
        request = cast("HTTPScope", scope)
        if request["method"] == HttpMethod.HEAD:
            state = {**request.get("state", {}), IS_HEAD: True}
            request = cast("HTTPScope", {**request, "method": HttpMethod.GET, "state": state})
        watched = Watched(request, self.state.get("tracer"))
        await watched.serve(super().__call__, cast("Receive", receive), cast("Send", send))

    def register(self, value: "ControllerRouterHandler") -> Any:
        # The framework's pages of the document load from other hosts, and answer 404 in HTML.
        own = isinstance(value, Router) and value.path == ROUTER_PATH
        return None if own else super().register(value)


def create_app(settings: Settings) -> Litestar:
    """The application. Nothing is connected until it is asked for something, so it starts with all else down.

    Raises:
        ConfigurationError: nobody has said who may do something that it serves.
    """
    app = Application(
        route_handlers=[
            datasets.routes(
                *(download_dataset, get_profile, list_rows, list_rejects, download_rejects),
                *(update_dataset, delete_dataset, look_at_upload, abort_upload, complete_upload),
            ),
            jobs.routes(get_result, list_result_rows, list_job_events, delete_job),
            batch.routes(),
            processors.routes(),
            schedules.routes(),
            webhooks.routes(),
            *keys.routes(),
            *queue.routes(follow_queue),
            follow_jobs,
            health.routes(),
            get_metrics,
            console.index,
            console.console_file,
            pages.docs,
            pages.redoc,
            pages.openapi,
            pages.asset,
        ],
        lifespan=[_resources(settings)],
        dependencies=dependencies(),
        middleware=[authenticated, with_checked_query],
        exception_handlers={
            GristmillError: on_our_error,
            HTTPException: on_http_error,
            Exception: on_defect,
        },
        request_class=JsonRequest,
        response_class=Response,
        request_max_body_size=settings.max_body_bytes,
        openapi_config=openapi_config(),
        plugins=[Structs(*KINDS.values())],
        logging_config=None,
        cors_config=_cors_config(settings),
        compression_config=compression_config(),
        debug=False,
    )
    check_access(app.routes)
    give_directly(app.routes)
    return app


def _cors_config(settings: Settings) -> CORSConfig | None:
    """Which other sites' pages may use the API. They need a key: without one nobody but our own pages is let in."""
    if not settings.allowed_origins:
        return None
    return CORSConfig(
        allow_origins=list(settings.allowed_origins), allow_headers=["*"], expose_headers=list(EXPOSED), max_age=600
    )


def _resources(settings: Settings) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def opened(app: Litestar) -> AsyncIterator[None]:
        async with (
            Database.open(settings, application="gristmill-api", role=Role.API) as database,
            ObjectStore.open(settings) as store,
        ):
            app.state.settings = settings
            app.state.database = database
            app.state.store = store
            app.state.watcher = Watcher(database, interval_s=settings.watch_s)
            app.state.live = feeds(settings, database)
            app.state.console = await asyncio.to_thread(console.load)
            app.state.reader = PageReader(settings.page_readers, deadline_s=settings.s3_deadline_s)
            app.state.rates = Rates(per_s=settings.rate_limit_per_s, burst=settings.rate_limit_burst)
            app.state.quotas = Quotas(settings, database)
            app.state.ready = ReadyDatasets()
            app.state.gate = Gate(settings, database)
            app.state.queue_figures = QueueFigures(database)
            app.state.tracer = tracing.open_tracer("gristmill-api")
            app.state.processors = discover()
            app.state.schema_head = await asyncio.to_thread(head_revision)
            document = completed(app.openapi_schema.to_schema(), app.plugins.get(Structs))
            document = with_links(with_examples(with_kinds(document, app.state.processors)))
            app.state.document = msgspec.json.encode(document)
            app.state.methods = {route.path_format: ", ".join(route.methods) for route in app.routes if route.methods}
            await store.warm()
            return_garbage()
            lag = asyncio.create_task(metrics.watch_lag(), name="lag")
            yield
            lag.cancel()
            app.state.reader.close()
            await app.state.watcher.close()
            await app.state.live.close()
            if app.state.tracer is not None:
                await asyncio.to_thread(app.state.tracer.close)

    return opened


async def serve(settings: Settings) -> int:
    """Serve the API until SIGTERM or SIGINT; requests under way get some seconds to end.

    Raises:
        ConfigurationError: the address is taken or none of ours, or it needs API keys and there are none.
    """
    return_large_buffers()
    await _check_door(settings)
    with _listening(settings) as listener:
        app = create_app(settings)
        server = Server(uvicorn.Config(app, **server_options()), app)
        host, port = settings.api_host, settings.api_port
        log.info("api.started", host=host, port=port)
        # The loop accepts one connection in a turn from each of these, and a turn among fifty uploads takes long: who
        # came behind them waited 0.3 s for his first answer, 0.9 s on a busy machine.
        await server.serve(sockets=[listener, *(listener.dup() for _ in range(ACCEPTED_IN_A_TURN - 1))])
        log.info("api.stopped", host=host, port=port)
    return 0 if server.started else 1


def server_options() -> dict[str, Any]:
    """How the server is set. The benches serve what they compare with in the same way."""
    return {
        "loop": "none",
        "http": "httptools",
        "ws": "none",
        "lifespan": "on",
        "access_log": False,  # paths and queries carry names of users
        "log_config": None,
        "log_level": "warning",
        "server_header": False,
        "proxy_headers": False,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": STOP_S,
        "backlog": BACKLOG,
    }


class Server(uvicorn.Server):
    """Ends by returning: the server's own way is to send itself the signal again, which would end it half-way.

    Requests that wait for jobs are answered when it is asked to stop.
    """

    def __init__(self, config: uvicorn.Config, app: Litestar) -> None:
        super().__init__(config)
        self._app = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What is there now stays for good: the collector need not look at it again and again while requests come.
        gc.collect()
        gc.freeze()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        for name in ("watcher", "live"):
            waited_for: Watcher | Live | None = self._app.state.get(name)
            if waited_for is not None:
                waited_for.stop()
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)


async def _check_door(settings: Settings) -> None:
    async with Database.open(settings, application="gristmill-api", role=Role.API) as database:
        # A database that is down now is asked again at each request, and nobody gets in before it answers.
        with contextlib.suppress(DatabaseUnavailable):
            await refuse_open_door(settings, database)


def _listening(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.api_host else socket.AF_INET
    try:
        return socket.create_server((settings.api_host, settings.api_port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"Can't listen on API_HOST={settings.api_host}, API_PORT={settings.api_port}: {error.strerror}."
        ) from error
