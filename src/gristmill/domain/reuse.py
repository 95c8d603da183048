"""When two jobs are the same work: same data, same kind and version, same params. Pure."""

import hashlib

import msgspec


def dataset_digest(*, sha256: str, data_format: str, options: bytes) -> str:
    """What identifies a dataset's rows: the bytes that came, and how they are to be read (a JSON object)."""
    return _digest(["dataset", sha256, data_format, msgspec.json.decode(options or b"{}")])


def reuse_key(input_digest: str, *, kind: str, version: int, params: bytes) -> str:
    """The key of a job on data with this digest; for a job on another's result, that job's own key is the digest.

    `params` is a JSON object with all defaults filled in; the order of its fields does not matter.
    """
    return _digest(["job", input_digest, kind, version, msgspec.json.decode(params)])


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()
