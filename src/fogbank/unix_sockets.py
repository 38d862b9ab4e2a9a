"""Unix sockets at paths of any length: a socket's address holds 107 bytes, a state folder may be deeper.

The folder is opened, and the address goes through its descriptor.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LONGEST = 107
"""sun_path holds 108 bytes, the last of them zero."""


@contextmanager
def address_of(path: Path) -> Iterator[str]:
    """Return an address that leads to ``path`` while the context lasts, for ``bind`` or ``connect``."""
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
