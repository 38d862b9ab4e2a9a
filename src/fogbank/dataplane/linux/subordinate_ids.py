"""Whether an ordinary user may have a range of user ids, which a region of that user's needs."""

import os
import pwd
import shutil
from pathlib import Path

from fogbank.errors import OperatorError


def check_subordinate_ids() -> None:
    """Check that newuidmap may give this user a range of ids; OperatorError holds the one command to run."""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    if shutil.which("newuidmap") is None or shutil.which("newgidmap") is None:
        raise OperatorError("newuidmap is missing. Run once as root: apt-get install uidmap")
    for table in ("/etc/subuid", "/etc/subgid"):
        if not _names_user(Path(table), user):
            raise OperatorError(
                f"{table} gives no ids to the user {user}. Run once as root: "
                f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
            )


def _names_user(table: Path, user: str) -> bool:
    names = {user, str(os.geteuid())}
    try:
        return any(line.partition(":")[0] in names for line in table.read_text().splitlines())
    except OSError:
        return False
