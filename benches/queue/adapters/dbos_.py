# /// script
# requires-python = ">=3.11"
# dependencies = ["dbos==3.4.0"]
# ///
"""DBOS: a queued workflow without steps, a look every 50 ms. It keeps inputs and outputs, to replay work."""

import threading

import _kit
from dbos import DBOS, DBOSClient

BACKEND = "postgres"
VARIANTS = {"poll=0.05": {"poll_s": 0.05}}
JOBS = {"poll=0.05": 2_000}
enqueue_many = None
LEFT = "SELECT count(*) FROM dbos.workflow_status WHERE status IN ('ENQUEUED', 'PENDING')"
WHAT = {"queue_name": "bench", "workflow_name": "nothing", "app_version": "1"}


def place(url):
    return url.replace("postgresql:", "postgresql+psycopg:")


def begin(url):
    settings = {"name": "bench", "system_database_url": place(url), "application_version": "1", "log_level": "WARNING"}
    DBOS(config=settings)


def setup(url):
    begin(url)
    DBOS.launch()
    DBOS.register_queue("bench")
    DBOS.destroy()


def connect(url):
    return DBOSClient(system_database_url=place(url))


def enqueue_one(client, i):
    client.enqueue(WHAT, i)


def unfinished(client):
    with client._sys_db.engine.connect() as connection:
        return connection.exec_driver_sql(LEFT).scalar()


def worker_main(url, ran, poll_s):
    begin(url)

    @DBOS.workflow(name="nothing")
    def nothing(i):
        ran(i)

    DBOS.launch()
    DBOS.register_queue("bench", polling_interval_sec=poll_s, on_conflict="always_update")
    threading.Event().wait()


if __name__ == "__main__":
    _kit.main(globals())
