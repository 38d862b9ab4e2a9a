"""Certificate files that libraries bring along, and trust instead of the system's.

Python's certifi (requests, httpx, urllib3), httplib2 and gRPC each have one. A region answers for Google's
hosts with certificates of its own, so in its containers these files are the region's, too; the image itself
stays as it is.
"""

import os
from pathlib import Path

_ENDINGS = ("certifi/cacert.pem", "httplib2/cacerts.txt", "grpc/_cython/_credentials/roots.pem")
_NAMES = frozenset(ending.rpartition("/")[2] for ending in _ENDINGS)


def find_trust_files(root: Path) -> tuple[str, ...]:
    """List such files below ``root`` by their paths in the image; links are not followed."""
    found = []
    for folder, _, files in os.walk(root):
        for name in _NAMES.intersection(files):
            path = Path(folder, name)
            if path.as_posix().endswith(_ENDINGS) and path.is_file() and not path.is_symlink():
                found.append(f"/{path.relative_to(root).as_posix()}")
    return tuple(sorted(found))
