"""Memory that is free in the allocator goes back to the machine when it is much.

The C library keeps what was freed below something that still lives; after a burst (thousands of answers that
nobody read) that can be half of the process. ``malloc_trim`` gives back whole pages wherever they are, and
goes on counting them as free: so it is the growth that matters.
"""

import resource
from pathlib import Path

from fogbank.dataplane.linux import kernel

MUCH_BYTES = 8 * 1024 * 1024
"""How much has to be freed before it is worth some milliseconds."""

LOOK_SECONDS = 2.0


def resident() -> int:
    """Tell how many bytes of memory this process holds."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


class Trimmer:
    """Gives memory back after much was freed."""

    def __init__(self) -> None:
        self._least = kernel.free_in_heap()

    def trim(self) -> None:
        """Look once."""
        free = kernel.free_in_heap()
        if free - self._least > MUCH_BYTES:
            kernel.trim_heap()
            self._least = free
        self._least = min(self._least, free)
