"""What the machine must have beside Python: the one list of Debian packages.

`fogbank doctor` reads it, and so do the set-up of a checkout (`tools/bootstrap.py`) and the docs. A package
is judged by what it brings (a program on PATH, a library file), so the list is also right on machines that
are not Debian. Only the standard library is imported here: set-up reads it before anything is installed.
"""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Use = Literal["run", "test", "bench"]

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LIBRARY_FOLDERS = ("usr/lib/*", "lib/*", "usr/lib", "usr/lib64", "usr/local/lib")


@dataclass(frozen=True, slots=True)
class Need:
    """A Debian package, the program or library that shows it is there, and why we want it."""

    package: str
    brings: str
    why: str
    use: Use = "run"
    root_needs_it: bool = True

    @property
    def present(self) -> bool:
        """Return whether what the package brings is on this machine."""
        if ".so" in self.brings:
            return any(any(Path("/").glob(f"{folder}/{self.brings}")) for folder in _LIBRARY_FOLDERS)
        return find_program(self.brings) is not None


NEEDS: tuple[Need, ...] = (
    Need("util-linux", "unshare", "enters the private namespaces of a region"),
    Need("crun", "crun", "runs containers"),
    Need("libnftables1", "libnftables.so.1", "loads firewalls and NAT into the kernel"),
    Need("uidmap", "newuidmap", "lets an ordinary user run a region", root_needs_it=False),
    Need("iproute2", "ip", "shows links and routes when a packet test fails", "test"),
    Need("nftables", "nft", "shows rulesets when a packet test fails", "test"),
    Need("conntrack", "conntrack", "shows tracked connections when a packet test fails", "test"),
    Need("curl", "curl", "is one of the clients that are tested", "test"),
)


def find_program(name: str) -> str | None:
    """Find a program on PATH or where the system keeps its own (an ordinary user's PATH lacks sbin)."""
    return shutil.which(name) or shutil.which(name, path=_SYSTEM_PATH)


def needs(uses: Iterable[Use] = ("run",), *, root: bool | None = None) -> tuple[Need, ...]:
    """List what ``uses`` want of this machine; ``root`` is whether root asks (default: whether we are).

    The tests run regions as an ordinary user too, whoever runs the tests.
    """
    as_root = os.geteuid() == 0 if root is None else root
    wanted = set(uses)
    ordinary = not as_root or "test" in wanted
    return tuple(need for need in NEEDS if need.use in wanted and (need.root_needs_it or ordinary))


def missing(uses: Iterable[Use] = ("run",)) -> tuple[str, ...]:
    """Name the Debian packages that ``uses`` want and that are not here."""
    return tuple(need.package for need in needs(uses) if not need.present)


def install_command(packages: Iterable[str]) -> str:
    """Write the one command that installs ``packages`` on Debian or Ubuntu."""
    sudo = "" if os.geteuid() == 0 else "sudo "
    return f"{sudo}apt-get install -y --no-install-recommends {' '.join(packages)}"
