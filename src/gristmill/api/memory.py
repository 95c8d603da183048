"""How the process's allocator treats large buffers."""

import ctypes
import gc

M_MMAP_THRESHOLD = -3  # from glibc's malloc.h
THRESHOLD_BYTES = 256 * 1024


def return_large_buffers() -> bool:
    """Have every freed buffer of 256 KiB or more go back to the system at once; False where the C library can't.

    glibc raises this threshold by itself to the largest buffer freed so far, the part of an upload, and keeps such
    buffers in a heap with holes from then on: 17 MB more at the peak of a 200 MB upload, measured.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(M_MMAP_THRESHOLD, THRESHOLD_BYTES))


def return_garbage() -> None:
    """Give back what starting up has left, so that the room is there for uploads; does nothing where it can't."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
