"""Memory that was freed goes back to the system."""

import ctypes
import sys


def release_freed_memory() -> None:
    """Hand back what glibc keeps of freed blocks; elsewhere do nothing.

    Loading a package frees as much as the size of its file, and would keep it resident.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim:
            trim(0)
