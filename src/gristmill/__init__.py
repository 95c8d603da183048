"""Gristmill turns uploaded datasets into results: a queue in PostgreSQL, workers on Polars, results on S3."""

from importlib.metadata import version

__version__ = version("gristmill")
