"""What a machine needs to run a region, as facts read from /proc and PATH; each fact brings its remedy.

`fogbank doctor` shows all of them, `fogbank up` refuses on the first that a region cannot do without. Nothing
here changes the machine.
"""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fogbank.cli import needs
from fogbank.dataplane.linux.containers.features import crun_features

_CAP_NET_ADMIN = 12
_CAP_SYS_ADMIN = 21
_LEAST_KERNEL = (5, 10)
"""Debian 11's; the oldest whose nftables, overlayfs in user namespaces and multipath are known to do."""


@dataclass(frozen=True, slots=True)
class Check:
    """One fact: ``what`` was looked at, what was ``found``, whether that will do, else the ``remedy``."""

    what: str
    found: str
    good: bool
    remedy: str = ""
    required: bool = True


def machine() -> tuple[Check, ...]:
    """Check everything that a region and its clients use."""
    return (*essentials(), *_confinement(), *_clients())


def essentials() -> tuple[Check, ...]:
    """Check only what a region cannot start without."""
    return (
        _python(),
        _system(),
        *_packages(),
        *(_as_root() if os.geteuid() == 0 else _as_user()),
        _overlay(),
    )


def _python() -> Check:
    return Check(
        "Python",
        f"{platform.python_version()} at {sys.executable}",
        sys.version_info >= (3, 11),
        "Install Python 3.11 or newer: apt-get install python3",
    )


def _system() -> Check:
    found = f"{platform.system()} {platform.release()}"
    numbers = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2] if part.isdigit())
    good = platform.system() == "Linux" and numbers >= _LEAST_KERNEL
    return Check("Linux", found, good, "Fogbank needs Linux 5.10 or newer.")


def _packages() -> Iterator[Check]:
    for need in needs.needs():
        remedy = f"It {need.why}: {needs.install_command([need.package])}"
        yield Check(
            need.package, "present" if need.present else f"{need.brings} is missing", need.present, remedy
        )


def _as_root() -> Iterator[Check]:
    held = _effective_capabilities()
    for bit, name in ((_CAP_SYS_ADMIN, "CAP_SYS_ADMIN"), (_CAP_NET_ADMIN, "CAP_NET_ADMIN")):
        good = bool(held >> bit & 1)
        yield Check(
            name,
            "held" if good else "missing",
            good,
            f"This root lacks {name} (a container?). Start the container with --privileged, or with "
            f"--cap-add {name.removeprefix('CAP_')}, or run Fogbank as an ordinary user.",
        )


def _as_user() -> Iterator[Check]:
    namespaces = _number("/proc/sys/user/max_user_namespaces", 1) > 0
    cloning = _number("/proc/sys/kernel/unprivileged_userns_clone", 1) == 1
    confined = _number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 0) == 1
    yield Check(
        "user namespaces",
        "allowed" if namespaces and cloning and not confined else "forbidden to ordinary users",
        namespaces and cloning and not confined,
        "As root: sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000 "
        "kernel.apparmor_restrict_unprivileged_userns=0 (those that exist), or run Fogbank as root.",
    )
    ranges = _has_subordinate_ids()
    yield Check(
        "subordinate ids",
        "given in /etc/subuid and /etc/subgid" if ranges else "this user has none",
        ranges,
        f"As root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {_user()}",
    )


def _overlay() -> Check:
    good = any(line.split()[-1:] == ["overlay"] for line in _lines("/proc/filesystems"))
    return Check("overlayfs", "in the kernel" if good else "missing", good, "As root: modprobe overlay")


def _confinement() -> Iterator[Check]:
    """Check what keeps containers in, beside namespaces and few capabilities."""
    built_with = crun_features()
    kernel = any(line.startswith("Seccomp:") for line in _lines("/proc/self/status"))
    lacking = [
        name for name, there in (("crun", "+SECCOMP" in built_with), ("the kernel", kernel)) if not there
    ]
    yield Check(
        "system call filter",
        f"missing in {' and '.join(lacking)}" if lacking else "in crun and in the kernel",
        not lacking,
        "Containers start only with a filter: install a crun whose --version shows +SECCOMP (like Debian), "
        "on a kernel with CONFIG_SECCOMP_FILTER.",
    )
    namespaces = _number("/proc/sys/user/max_user_namespaces", 0) > 0
    yield Check(
        "containers' users",
        "ids of their own, without rights on this machine"
        if namespaces
        else "the machine's own: no user namespaces",
        namespaces,
        "As root: sysctl -w user.max_user_namespaces=10000. Without, containers run as this machine's users.",
        required=False,
    )


def _clients() -> Iterator[Check]:
    program = shutil.which("gcloud")
    yield Check(
        "gcloud",
        program or "not on PATH",
        program is not None,
        "Regions work without it; `fogbank demo` then uses Google's Python clients, or plain HTTPS. "
        "To get it: https://cloud.google.com/sdk/docs/install",
        required=False,
    )


def _effective_capabilities() -> int:
    for line in _lines("/proc/self/status"):
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _has_subordinate_ids() -> bool:
    owners = (f"{_user()}:", f"{os.geteuid()}:")
    return all(
        any(line.startswith(owners) for line in _lines(path)) for path in ("/etc/subuid", "/etc/subgid")
    )


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _number(path: str, otherwise: int) -> int:
    lines = _lines(path)
    return int(lines[0]) if lines else otherwise


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
