"""The only place that speaks S3.

`ObjectStore` is for the event loop; `ObjectOutput`, `ObjectSource`, `scan`, `load` and what reads pages are
for the thread that computes.
Every call ends within its deadline. What fails is `StoreUnavailable` (trying again may help) or `NotFound`.
"""

from gristmill.objects.compute import ObjectOutput, ObjectSource, load, scan
from gristmill.objects.faults import classify
from gristmill.objects.parts import Arrived, presigned_part_bytes
from gristmill.objects.slices import read_matching, read_rows
from gristmill.objects.store import ListedObject, ListedUpload, ObjectStore
from gristmill.objects.upload import Stored, UploadWriter

__all__ = [
    "Arrived",
    "ListedObject",
    "ListedUpload",
    "ObjectOutput",
    "ObjectSource",
    "ObjectStore",
    "Stored",
    "UploadWriter",
    "classify",
    "load",
    "presigned_part_bytes",
    "read_matching",
    "read_rows",
    "scan",
]
