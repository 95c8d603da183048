# /// script
# requires-python = ">=3.11"
# dependencies = ["celery[redis]==5.7.0"]
# ///
"""Celery on Redis: two forked processes a worker, results ignored. By default a crash loses what is under way."""

import os

import _kit
from celery import Celery

BACKEND = "redis"
VARIANTS = {"defaults": {}, "acks_late, prefetch=64": {"task_acks_late": True, "worker_prefetch_multiplier": 64}}
JOBS = dict.fromkeys(VARIANTS, 5_000)
enqueue_many = None


def app_on(url, ran=None, **options):
    app = Celery("bench", broker=url)
    app.conf.update(broker_connection_retry_on_startup=True, **options)

    @app.task(name="nothing", ignore_result=True)
    def nothing(i):
        ran(i)

    app.nothing = nothing
    return app


def setup(url):
    with app_on(url).connection_for_write() as connection:
        connection.default_channel.client.flushdb()


def connect(url):
    app = app_on(url)
    app.redis = app.connection_for_write().default_channel.client
    return app


def enqueue_one(app, i):
    app.nothing.delay(i)


def unfinished(app):
    return app.redis.llen("celery") + app.redis.hlen("unacked")


def worker_main(url, ran, **options):
    name = f"worker{os.getpid()}@%h"
    app_on(url, ran, **options).worker_main(["worker", "--loglevel=WARNING", "--hostname", name])


if __name__ == "__main__":
    _kit.main(globals())
