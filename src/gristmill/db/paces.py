"""How fast jobs of each kind went lately."""

from typing import NamedTuple

from gristmill.db.engine import Database

# The newest jobs by the primary key, whatever became of them: so many rows are read and no more, with no index that
# every completion would have to write to. Those that ran at the first attempt tell how long they took.
RECENT = """
SELECT recent.kind,
    CASE WHEN recent.kind = 'ingest' THEN datasets.size_bytes ELSE (recent.manifest ->> 'rows_in')::bigint END AS work,
    extract(epoch FROM recent.finished_at - recent.started_at)::float8 AS seconds
FROM (SELECT kind, status, attempt, reused_from, dataset_id, manifest, started_at, finished_at
    FROM jobs ORDER BY id DESC LIMIT 500) AS recent
JOIN datasets ON datasets.id = recent.dataset_id
WHERE recent.status = 'completed' AND recent.attempt = 1 AND recent.reused_from IS NULL
    AND recent.finished_at - recent.started_at >= interval '1 s'
"""


class Pace(NamedTuple):
    """Rows, or bytes of an original, that took so many seconds."""

    kind: str
    work: int
    seconds: float


async def recent_paces(database: Database) -> list[Pace]:
    async with database.driver() as driver:
        return [Pace(**record) for record in await driver.fetch(RECENT)]
