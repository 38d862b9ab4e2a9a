"""Fetches Debian packages with the machine's own apt, for images; nothing is installed on the machine.

The machine's sources, keys, proxies and package lists are read; apt writes into a folder of ours, needs no
root and runs none of the machine's hooks. The surprising fact: apt is told that no package is installed but
those that only installation scripts need, so that it names the whole dependency closure of a server and no
more.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from fogbank.errors import DriverError

Tell = Callable[[str], None]
"""Hears a line of progress for the person at the terminal."""

_MACHINE_LISTS = Path("/var/lib/apt/lists")
_NO_HOOKS = "#clear APT::Update;\n#clear DPkg;\n#clear APT::Sandbox;\n"
_INSTALLED = """Package: {name}
Status: install ok installed
Architecture: all
Multi-Arch: foreign
Version: 999:1
Description: assumed
Maintainer: nobody

"""
SECONDS = 600.0
"""How long one call of apt may take."""


@dataclass(frozen=True, slots=True)
class DebianPackage:
    """A package that was fetched: ``file`` is its archive."""

    name: str
    version: str
    file: Path


class AptFailed(DriverError):
    """apt could not do it; the text has its own words."""


@contextmanager
def fetched(
    packages: Sequence[str], assumed: Sequence[str], lists: Path, tell: Tell
) -> Iterator[tuple[DebianPackage, ...]]:
    """Fetch ``packages`` and what they depend on into a folder that goes with the block.

    ``assumed`` count as installed. ``lists`` is a folder for package lists of our own, which are used when
    the machine has none or old ones. AptFailed says what apt could not reach.
    """
    program = shutil.which("apt-get")
    if program is None:
        raise AptFailed(
            "apt-get is not on this machine. Servers of managed services are made of Debian packages: "
            "run the region on Debian or Ubuntu."
        )
    with tempfile.TemporaryDirectory(prefix="fogbank-apt-") as folder:
        apt = _Apt(program, Path(folder), assumed)
        try:
            found = apt.download(packages, _MACHINE_LISTS, tell)
        except AptFailed as error:
            tell(f"this machine's package lists do not do ({error}); asking its registry for new ones")
            unreached = apt.update(lists)
            try:
                found = apt.download(packages, lists, tell)
            except AptFailed as again:
                raise AptFailed("; ".join((*unreached, str(again)))) from again
        yield found


class _Apt:
    """apt-get with a state of its own in ``folder``."""

    def __init__(self, program: str, folder: Path, assumed: Sequence[str]) -> None:
        self._program, self._folder = program, folder
        self._archives = folder / "archives"
        (self._archives / "partial").mkdir(parents=True)
        (folder / "state").mkdir()
        (folder / "status").write_text("".join(_INSTALLED.format(name=name) for name in assumed))
        (folder / "apt.conf").write_text(_NO_HOOKS)

    def update(self, lists: Path) -> tuple[str, ...]:
        """Fetch the package lists of the machine's sources into ``lists``; return what was not reached.

        A source that cannot be reached is no failure for apt: others may have what is wanted.
        """
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        _, complaints = self._run(lists, "update")
        return tuple(line for line in complaints.splitlines() if line.startswith(("W: Failed", "Err:")))[:2]

    def download(self, packages: Sequence[str], lists: Path, tell: Tell) -> tuple[DebianPackage, ...]:
        """Fetch the archives of ``packages`` and of what they depend on."""
        planned, _ = self._run(lists, "install", "--print-uris", "--yes", *packages)
        rows = [row.split() for row in planned.splitlines() if row.startswith("'")]
        tell(f"fetching {len(rows)} packages, {sum(int(row[2]) for row in rows) / 1e6:.1f} MB")
        self._run(lists, "install", "--download-only", "--yes", *packages)
        return tuple(sorted((self._package(row[0], row[1]) for row in rows), key=lambda each: each.name))

    def _package(self, uri: str, file: str) -> DebianPackage:
        """Find an archive: apt does not copy those of a registry in a folder."""
        name, version, _ = file.split("_")
        place = unquote(uri.strip("'"))
        path = Path(place.removeprefix("file:")) if place.startswith("file:") else self._archives / file
        return DebianPackage(name, unquote(version), path)

    def _run(self, lists: Path, *words: str) -> tuple[str, str]:
        """Run apt-get and return what it said and what it complained of; AptFailed when it did not do it."""
        folder = self._folder
        settings = {
            "Dir::State": folder / "state",
            "Dir::State::lists": lists,
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder,
            "Dir::Cache::archives": self._archives,
            "Dir::Log": folder / "log",
            "Debug::NoLocking": "1",
            "APT::Install-Recommends": "0",
            "APT::Sandbox::User": "",  # the folder is ours alone
            "Acquire::Retries": "2",
        }
        options = [f"-o{name}={value}" for name, value in settings.items()]
        try:
            done = subprocess.run(
                [self._program, "-qq", "-c", str(folder / "apt.conf"), *options, *words],
                env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AptFailed(f"apt-get {words[0]} did not end: {error}") from error
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith(("E:", "Err:"))]
            raise AptFailed("; ".join(lines[:3]) or f"apt-get {words[0]} ended with {done.returncode}")
        return done.stdout, done.stderr
