"""Gristmill turns uploaded datasets into results: a queue in PostgreSQL, workers on Polars, results on S3.

`Client` and `AsyncClient` speak to a server; they need none of its libraries.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gristmill.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client", "__version__"]

__version__ = version("gristmill")


def __getattr__(name: str) -> Any:
    # The server imports this package too, and does without an HTTP client.
    if name in {"AsyncClient", "Client"}:
        return getattr(import_module("gristmill.client"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
