"""Keep the C library from giving every freed tensor back to the kernel.

glibc takes large blocks straight from the kernel and returns them when they are freed, so that each activation of a CPU
run is mapped and zeroed anew. For SDPose-S-V1 at batch 16 that is a fifth of an evaluation (`benchmarks/model.py`).
"""

from __future__ import annotations

import ctypes
import platform

# From glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


def keep_freed_memory() -> bool:
    """Lets this process reuse the memory of freed tensors; to be called once, before CPU training or evaluation.

    The process then holds what it needed at its peak until it ends. Where the C library is not glibc, nothing is done
    and False is returned.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    never_trim, no_mmap, one_arena = (M_TRIM_THRESHOLD, -1), (M_MMAP_MAX, 0), (M_ARENA_MAX, 1)
    # One arena, because autograd's own thread frees what the main thread allocates, and the other way round.
    return all(libc.mallopt(name, value) == 1 for name, value in (never_trim, no_mmap, one_arena))
