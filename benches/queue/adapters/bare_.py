# /// script
# requires-python = ">=3.11"
# dependencies = ["asyncpg>=0.32", "uvloop>=0.23"]
# ///
"""No queue but a floor of cost: claim a hundred rows, run them, mark them done, on bare asyncpg and two indexes."""

import asyncio
import json

import _kit
import asyncpg

BACKEND = "postgres"
VARIANTS = {"1 loop": {"loops": 1}, "2 loops": {"loops": 2}}
JOBS = dict.fromkeys(VARIANTS, 40_000)
BATCH = 100

TABLES = """
CREATE TABLE work (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, state text NOT NULL DEFAULT 'ready',
    priority smallint NOT NULL DEFAULT 0, attempt int NOT NULL DEFAULT 0, due_at timestamptz NOT NULL DEFAULT now(),
    content jsonb NOT NULL, claimed_at timestamptz, ended_at timestamptz
);
CREATE INDEX work_ready ON work (priority, id) WHERE state = 'ready';
CREATE INDEX work_running ON work (claimed_at) WHERE state = 'running';
"""
CLAIM = """
UPDATE work SET state = 'running', attempt = attempt + 1, claimed_at = now() WHERE id = ANY (ARRAY (
    SELECT id FROM work WHERE state = 'ready' AND due_at <= now() ORDER BY priority, id LIMIT $1
    FOR UPDATE SKIP LOCKED
)) RETURNING id, content
"""
DONE = "UPDATE work SET state = 'done', ended_at = now() WHERE id = ANY ($1::bigint[])"
ADD = "WITH added AS (INSERT INTO work (content) VALUES ($1) RETURNING id) SELECT pg_notify('work', '') FROM added"
LEFT = """
SELECT (SELECT count(*) FROM work WHERE state = 'ready') + (SELECT count(*) FROM work WHERE state = 'running')
"""
PAST = """
INSERT INTO work (state, attempt, content, claimed_at, ended_at)
SELECT 'done', 1, jsonb_build_object('i', n), now(), now() FROM generate_series(1, $1::int) AS n
"""


async def setup(url):
    connection = await asyncpg.connect(url)
    await connection.execute(TABLES)
    await connection.close()


async def connect(url):
    return await asyncpg.connect(url)


async def enqueue_one(client, i):
    await client.fetch(ADD, json.dumps({"i": i}))


async def enqueue_many(client, ids):
    rows = [(json.dumps({"i": i}),) for i in ids]
    await client.copy_records_to_table("work", columns=["content"], records=rows)


async def unfinished(client):
    return await client.fetchval(LEFT)


async def fill_history(client, n):
    await client.execute(PAST, n, timeout=600)


async def worker_main(url, ran, loops):
    async def loop():
        connection, heard = await asyncpg.connect(url), asyncio.Event()
        await connection.add_listener("work", lambda *_: heard.set())
        while True:
            heard.clear()
            rows = await connection.fetch(CLAIM, BATCH)
            for row in rows:
                ran(json.loads(row["content"])["i"])
            if rows:
                await connection.execute(DONE, [row["id"] for row in rows])
                continue
            try:
                await asyncio.wait_for(heard.wait(), 1)
            except TimeoutError:
                continue

    await asyncio.gather(*(loop() for _ in range(loops)))


if __name__ == "__main__":
    _kit.main(globals())
