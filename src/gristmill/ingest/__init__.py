"""Bytes as they came ─▶ typed Parquet parts + rejected rows + profile. `ingest` is the way in."""

from gristmill.ingest.options import IngestOptions, Limits
from gristmill.ingest.run import ingest

__all__ = ["IngestOptions", "Limits", "ingest"]
