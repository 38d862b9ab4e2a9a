"""An ordinary user for tests that are run by root: in a mount namespace where one more user exists.

The machine's own tables of users stay as they are. The user owns a new folder and has a range of ids.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import fogbank
from fogbank.testing import short_folder

USER, NUMBER = "fogbank-test", 54321
CHECKOUT = Path(__file__).parents[1]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BECOME = """
set -eu
mount --make-rprivate /
mount --bind {home}/subordinate /etc/subuid
mount --bind {home}/subordinate /etc/subgid
mount --bind {home}/users /etc/passwd
mount --bind {packages} {home}/src
mount --bind {checkout} {home}/checkout
cd {home}
exec setpriv --reuid {number} --regid {number} --clear-groups \
    env -i HOME={home} PYTHONPATH={home}/src:{home}/checkout PATH={path} "$@"
"""


@dataclass(frozen=True)
class OrdinaryUser:
    home: Path

    def run(self, *command: str, timeout: float = 100) -> subprocess.CompletedProcess[str]:
        """Run a command as this user, who finds fogbank and the tests where the tests' own Python does."""
        script = BECOME.format(
            home=self.home,
            packages=Path(fogbank.__file__).parent.parent,
            checkout=CHECKOUT,
            number=NUMBER,
            path=PATH,
        )
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", *command],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-B", *arguments)


@contextmanager
def ordinary_user() -> Iterator[OrdinaryUser]:
    """Have an ordinary user for the block."""
    home = short_folder()
    (home / "subordinate").write_text(f"{USER}:300000:65536\n")
    users = Path("/etc/passwd").read_text()
    (home / "users").write_text(f"{users}{USER}:x:{NUMBER}:{NUMBER}::{home}:/bin/sh\n")
    for name in ("src", "checkout"):
        (home / name).mkdir()
    subprocess.run(["chown", "-R", f"{NUMBER}:{NUMBER}", home], check=True)
    try:
        yield OrdinaryUser(home)
    finally:
        shutil.rmtree(home)
