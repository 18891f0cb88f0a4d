"""Memory that this process holds, and that it hands back."""

import ctypes
import resource
import sys
from pathlib import Path


def release_freed_memory() -> None:
    """Hand back what glibc keeps of freed blocks; elsewhere do nothing.

    Loading a package frees as much as the size of its file, and would keep it resident.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim:
            trim(0)


def resident_bytes() -> int:
    """Memory of this process that is in RAM; where the system does not tell, the most it ever was.

    The page cache counts where the process maps it.
    """
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
