"""What goes wrong with S3, told in our own errors. No message quotes a key."""

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import polars as pl
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from gristmill.errors import GristmillError, InternalError, NotFound, StoreUnavailable

GONE = "A stored object is not there."
SILENT = "The object store did not answer in time."
UNREACHABLE = "The object store can't be reached, or broke the connection."
REFUSED = "The object store refuses our credentials, or what we asked for."
CHANGED = "A stored object changed while it was read."

_GONE_CODES = frozenset({"NoSuchKey", "NotFound", "404"})
_REFUSED_CODES = frozenset({"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Forbidden", "403"})


def classify(error: BaseException) -> GristmillError:
    """Turn any error of an S3 call, or of a Polars query that reads S3, into one of ours.

    A lost, slow or refusing store is `StoreUnavailable`; a missing object is `NotFound`; what has nothing to do
    with S3 is `InternalError`, named by its type alone.
    """
    if isinstance(error, GristmillError):
        return error
    if isinstance(error, ClientError):
        return _of_client(error)
    if isinstance(error, pl.exceptions.PolarsError | OSError) and _of_object_store(error):
        return _of_object_store_kind(error)
    if isinstance(error, TimeoutError):
        return StoreUnavailable(SILENT)
    if isinstance(error, BotoCoreError | HTTPClientError | aiohttp.ClientError | OSError):
        return StoreUnavailable(UNREACHABLE)
    return InternalError(f"An unexpected error ({type(error).__name__}).")


@contextmanager
def told_in_ours() -> Iterator[None]:
    """Within it, an error of the S3 libraries leaves as one of ours."""
    try:
        yield
    except (BotoCoreError, ClientError, HTTPClientError, aiohttp.ClientError, OSError) as error:
        raise classify(error) from error


def error_code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _of_client(error: ClientError) -> GristmillError:
    code = error_code(error)
    if code == "NoSuchBucket" or (code in _GONE_CODES and error.operation_name in {"HeadBucket", "ListObjectsV2"}):
        return StoreUnavailable("A bucket is missing in the object store.")
    if code in _GONE_CODES:
        return NotFound(GONE)
    if code in _REFUSED_CODES:
        return StoreUnavailable(REFUSED)
    if code == "PreconditionFailed":
        return StoreUnavailable(CHANGED)
    return StoreUnavailable(f"The object store could not do what it was asked ({code}).")


def _of_object_store(error: BaseException) -> bool:
    # Polars' reader starts its messages with this, whatever their Python type; a local file's error does not.
    return "object-store error" in str(error)


def _of_object_store_kind(error: BaseException) -> GristmillError:
    if isinstance(error, FileNotFoundError):
        return NotFound(GONE)
    if isinstance(error, PermissionError):
        return StoreUnavailable(REFUSED)
    return StoreUnavailable(SILENT if isinstance(error, TimeoutError) else UNREACHABLE)
