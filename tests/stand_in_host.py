"""A stand-in for the host: a machine of the test's own, where it shows whether a world leaves traces.

A test that uses the ``machine`` fixture runs, like those with a ``lab``, in a forked child with namespaces of
its own. There are no interfaces but the loopback, ``/run`` is private and ``/etc`` is a copy in it. So other
regions, the package manager and whatever else runs on the real machine change nothing of what is compared.
"""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from fogbank.dataplane.linux import kernel
from fogbank.dataplane.linux.net.namespaces import raise_loopback

RUN = Path("/run")
SCRATCH = Path("/mnt")
"""An empty folder that goes with the machine, so that nobody removes what a test mounts there."""
TEMPORARY = (Path("/tmp"), Path("/var/tmp"), Path("/dev"), Path("/dev/shm"))
DEVICES = tuple(Path("/dev", name) for name in ("null", "zero", "full", "random", "urandom", "tty"))
GROUPS = Path("/sys/fs/cgroup")


class StandInHost:
    """The machine as the test sees it; control groups are the only part that is the real machine's."""

    def prepare(self) -> None:
        """Make the machine; called in the test's own namespaces."""
        raise_loopback()
        for folder in (RUN, SCRATCH):
            kernel.mount("tests", str(folder), "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=0755")
        shutil.copytree("/etc", RUN / "etc", symlinks=True, ignore=_special)
        bind(RUN / "etc", Path("/etc"))
        self.groups = groups()

    def state(self) -> dict[str, object]:
        """Describe everything that a world could have changed."""
        return {
            "interfaces": _output("ip", "-o", "link"),
            "addresses": _output("ip", "-o", "address"),
            "routes": _output("ip", "route", "show", "table", "all"),
            "rules": _output("nft", "list", "ruleset"),
            "named namespaces": _output("ip", "netns"),
            "mounts": Path("/proc/self/mountinfo").read_text(),
            "forwarding": Path("/proc/sys/net/ipv4/ip_forward").read_text(),
            "etc": {str(path): _stamp(path) for path in Path("/etc").rglob("*")},
            "run": sorted(path.name for path in RUN.iterdir()),
            "temporary": [str(path) for folder in TEMPORARY for path in folder.glob("mine")],
            "devices": {str(path): (path.stat().st_mode, path.stat().st_uid) for path in DEVICES},
            "abandoned groups": abandoned(groups() - self.groups),
            "hostname": socket.gethostname(),
        }

    def diagnose(self) -> str:
        return ""


def bind(source: Path, target: Path) -> None:
    """Show ``source`` at ``target`` too; mount(8) would do the same but leaves /run/mount behind."""
    kernel.mount(str(source), str(target), "", kernel.MS_BIND)


def groups() -> set[Path]:
    """List the control groups of the real machine."""
    return {Path(folder) for folder, _, _ in os.walk(GROUPS)}  # which minds none that go meanwhile


def abandoned(groups: set[Path]) -> list[Path]:
    """Pick those without a process in them or below: what a world that has ended would have left."""
    return sorted(group for group in groups if not any(_processes(each) for each, *_ in os.walk(group)))


def group_of(pid: int) -> str:
    """Give the control groups of a process."""
    return Path(f"/proc/{pid}/cgroup").read_text()


def _processes(group: str) -> str:
    try:
        return Path(group, "cgroup.procs").read_text()
    except OSError:  # it went meanwhile
        return ""


def _special(folder: str, names: list[str]) -> list[str]:
    """Pick what is no file, folder or link: a copy would wait for ever at a pipe."""
    paths = [Path(folder, name) for name in names]
    return [p.name for p in paths if not (p.is_symlink() or p.is_file() or p.is_dir())]


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.lstat()
    return found.st_mtime_ns, found.st_size, found.st_mode


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def machine() -> StandInHost:
    """The stand-in of one test; asking for it makes the test run there."""
    return StandInHost()
