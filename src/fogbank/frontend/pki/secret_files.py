"""Files that only their owner may read: keys, credentials, secrets.

The folder is 0700 and each file 0600 from the first byte on; a file appears whole or not at all, also when
the program is killed while it writes.
"""

import os
import secrets
from pathlib import Path

from fogbank.errors import OperatorError


def private_folder(folder: Path) -> Path:
    """Make ``folder``, or close an existing one to everybody else."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def write_private(path: Path, content: bytes) -> None:
    """Write a whole private file, in place of any older one."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def read_private(path: Path) -> bytes | None:
    """Read a private file, None when there is none; OperatorError when it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OperatorError(
            f"Cannot read {path}: {error.strerror}. Give it back to this user, or delete it and start again."
        ) from error
