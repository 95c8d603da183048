"""A worker's metrics, on a port of their own: it serves nothing else, so there is no API to ask."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import start_http_server

from gristmill.errors import ConfigurationError
from gristmill.metrics import REGISTRY
from gristmill.settings import Settings


@asynccontextmanager
async def served_metrics(settings: Settings) -> AsyncIterator[None]:
    """Serve `/metrics` at METRICS_HOST, METRICS_PORT meanwhile, if a port is set; from a thread.

    Raises:
        ConfigurationError: the address is taken, or none of ours.
    """
    if settings.metrics_port is None:
        yield
        return
    host, port = settings.metrics_host, settings.metrics_port
    try:
        server, thread = start_http_server(port, addr=host, registry=REGISTRY)
    except OSError as error:
        raise ConfigurationError(
            f"Can't listen on METRICS_HOST={host}, METRICS_PORT={port}: {error.strerror}. Each worker needs its own."
        ) from error
    try:
        yield
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()
