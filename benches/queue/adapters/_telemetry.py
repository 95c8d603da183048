# /// script
# requires-python = ">=3.11"
# dependencies = ["gristmill[server]"]
# [tool.uv.sources]
# gristmill = { path = "../../..", editable = true }
# ///
"""The worker with its metrics, and with none: nothing is counted, and claims bring neither wait nor trace."""

import _kit
import gristmill_
from gristmill_ import close, connect, enqueue_many, enqueue_one, setup, unfinished  # noqa: F401 (found by their names)

from gristmill import metrics
from gristmill.db import claims
from gristmill.worker import completer, producer

BACKEND = "postgres"
SLOTS = 2000
JOBS_A_DRAIN = 60_000


def nothing(*_, **__):
    pass


def without_telemetry():
    producer._count = completer._count = nothing
    metrics.Distribution.observe = metrics.Distribution.observe_all = nothing
    wait = "extract(epoch FROM now() - scheduled_at)::float8 AS waited_s"
    for name in ("CLAIM", "CLAIM_LANE", "CLAIM_HINTED"):
        statement = getattr(claims, name)
        assert wait in statement
        statement = statement.replace(wait, "0::float8 AS waited_s").replace("traceparent,", "NULL AS traceparent,")
        setattr(claims, name, statement)


VARIANTS = {"with": {"counted": True}, "without": {"counted": False}}
JOBS = dict.fromkeys(VARIANTS, JOBS_A_DRAIN)


def worker_main(url, ran, counted):
    if not counted:
        without_telemetry()
    gristmill_.worker_main(url, ran, SLOTS)


if __name__ == "__main__":
    _kit.main(globals())
