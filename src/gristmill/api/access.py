"""Who may do what: one table for all operations. What is not in it, nobody may do, and the app does not start."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler
from litestar.handlers.base import BaseRouteHandler
from litestar.routes import HTTPRoute
from litestar.routes.base import BaseRoute

from gristmill.domain.key import Scope
from gristmill.errors import ConfigurationError

# For these no key is asked for.
PUBLIC: Final = None

ACCESS: Final[dict[str, Scope | None]] = {
    # Datasets
    "createDataset": Scope.WRITE,
    "listDatasets": Scope.READ,
    "getDataset": Scope.READ,
    "changeDataset": Scope.WRITE,
    "deleteDataset": Scope.WRITE,
    "getUpload": Scope.READ,
    "abortUpload": Scope.WRITE,
    "completeUpload": Scope.WRITE,
    "downloadDataset": Scope.READ,
    "getProfile": Scope.READ,
    "listRows": Scope.READ,
    "listRejects": Scope.READ,
    "downloadRejects": Scope.READ,
    # Jobs
    "submitJob": Scope.WRITE,
    "submitJobs": Scope.WRITE,
    "listJobs": Scope.READ,
    "getJob": Scope.READ,
    "listEvents": Scope.READ,
    "followJobs": Scope.READ,
    "getResult": Scope.READ,
    "listResultRows": Scope.READ,
    "cancelJob": Scope.WRITE,
    "retryJob": Scope.WRITE,
    "deleteJob": Scope.WRITE,
    # Processors
    "listProcessors": Scope.READ,
    "getProcessor": Scope.READ,
    # Schedules
    "createSchedule": Scope.WRITE,
    "listSchedules": Scope.READ,
    "getSchedule": Scope.READ,
    "changeSchedule": Scope.WRITE,
    "deleteSchedule": Scope.WRITE,
    # Webhooks
    "createWebhook": Scope.WRITE,
    "listWebhooks": Scope.READ,
    "getWebhook": Scope.READ,
    "changeWebhook": Scope.WRITE,
    "rotateWebhookSecret": Scope.WRITE,
    "deleteWebhook": Scope.WRITE,
    "listDeliveries": Scope.READ,
    "redeliver": Scope.WRITE,
    # Keys, of all owners
    "whoAmI": Scope.READ,
    "createKey": Scope.ADMIN,
    "listKeys": Scope.ADMIN,
    "getKey": Scope.ADMIN,
    "revokeKey": Scope.ADMIN,
    "rotateKey": Scope.ADMIN,
    # Queue
    "getQueue": Scope.READ,
    "getQueueHistory": Scope.READ,
    "followQueue": Scope.READ,
    "listWorkers": Scope.READ,
    "pauseQueue": Scope.ADMIN,
    "resumeQueue": Scope.ADMIN,
    "listLimits": Scope.ADMIN,
    "setLimit": Scope.ADMIN,
    "dropLimit": Scope.ADMIN,
    # Health and pages. What /metrics tells is what `getQueue` tells, and of nobody in particular.
    "getMetrics": Scope.READ,
    "isLive": PUBLIC,
    "isReady": PUBLIC,
    "index": PUBLIC,
    "docs": PUBLIC,
    "redoc": PUBLIC,
    "openapi": PUBLIC,
    "asset": PUBLIC,
    "console_file": PUBLIC,
}


@lru_cache(maxsize=1024)
def operation(handler: BaseRouteHandler) -> str:
    """The operation's id; of a page, which has none in the document, its function's name."""
    named = handler.operation_id if isinstance(handler, HTTPRouteHandler) else None
    return named if isinstance(named, str) else handler.handler_name


def is_options(handler: HTTPRouteHandler) -> bool:
    """Whether the framework made this handler, which tells the methods of a path."""
    return handler.http_methods == {HttpMethod.OPTIONS}


def check_access(routes: Iterable[BaseRoute]) -> None:
    """Check that the table names every operation, and none besides.

    Raises:
        ConfigurationError: it does not, so this app must not start.
    """
    served = {
        operation(handler)
        for route in routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if not is_options(handler)
    } | {route.path for route in routes if not isinstance(route, HTTPRoute)}
    if missing := sorted(served - ACCESS.keys()):
        raise ConfigurationError(f"Nobody may do this, because api/access.py does not name it: {', '.join(missing)}")
    if stale := sorted(ACCESS.keys() - served):
        raise ConfigurationError(f"api/access.py names what is not served: {', '.join(stale)}")
