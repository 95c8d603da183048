"""The roles in the database: as what each kind of process speaks to it. Who migrates owns the tables and is none."""

from enum import StrEnum


class Role(StrEnum):
    """A process takes its role at the start of each connection, whatever it logs in as.

    `API` sees the rows of one owner at a time, `WORKER` those of all owners; each touches the tables it needs.
    """

    API = "gristmill_api"
    WORKER = "gristmill_worker"
