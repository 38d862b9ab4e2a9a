"""A program as a file in memory that nobody can change any more.

crun makes such a copy of itself at every start and runs again from there, so that no container can overwrite
the machine's crun through /proc (CVE-2019-5736). Started from one, it sees the seals and does not: that is a
tenth of a cold start.
"""

import errno
import fcntl
import os
import shutil
from pathlib import Path

_MFD_EXEC = 0x10
"""Linux 6.3 or newer; a machine with ``vm.memfd_noexec=1`` runs only files that were made with it."""
_ALL_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def sealed_copy(program: Path) -> int:
    """Copy ``program`` and return the descriptor, which children do not inherit; OSError when refused."""
    copy = _executable_file(program.name)
    try:
        with program.open("rb") as original, os.fdopen(copy, "wb", closefd=False) as target:
            shutil.copyfileobj(original, target)
        os.fchmod(copy, 0o555)
        fcntl.fcntl(copy, fcntl.F_ADD_SEALS, _ALL_SEALS)
    except OSError:
        os.close(copy)
        raise
    return copy


def _executable_file(name: str) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(name, flags | _MFD_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.memfd_create(name, flags)
