"""The data plane on a file of this machine: ingest and one processor, without a server. Results are the same bytes."""

from gristmill.local.folder import Folder
from gristmill.local.work import Local, process, read_file

__all__ = ["Folder", "Local", "process", "read_file"]
