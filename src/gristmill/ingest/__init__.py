"""Bytes as they came ─▶ typed Parquet parts + rejected rows + profile. `run.ingest` is the way in.

Nothing is imported here: the API needs options and formats, and none of the libraries that read.
"""
