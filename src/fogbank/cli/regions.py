"""Which regions run: their state folders, the note each has there, a knock on the operator socket, /proc.

A note without an answer on the socket is stale when no such process runs: the region was killed, and the next
`up` replaces the note. A process without a note or an answer is a region all the same (its disk was full, its
folder was removed, it hangs): `list` shows it and `down` ends it, because its command line says where it is.
"""

import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fogbank.cli.exits import NotRunningError
from fogbank.errors import OperatorError
from fogbank.settings import Folders, folders, state_home

if TYPE_CHECKING:
    from fogbank.cli.operator import OperatorClient

_KNOCK_SECONDS = 2.0
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_EPHEMERAL = ".ephemeral"
"""Where regions live that keep nothing: the folder goes when they do."""


@dataclass(frozen=True, slots=True)
class RegionNote:
    """A region that answers: its name, the note it left when it was ready, and its folders."""

    name: str
    note: dict[str, Any]
    folders: Folders

    @property
    def port(self) -> int:
        """The proxy's port on 127.0.0.1."""
        return int(self.note["port"])

    @property
    def pid(self) -> int:
        """The process on the host that keeps the world alive."""
        return int(self.note["pid"])

    def operator(self, patience: float = 60) -> "OperatorClient":
        """Make a client of its operator socket; an answer may take ``patience`` seconds."""
        from fogbank.cli.operator import OperatorClient

        return OperatorClient(self.folders.socket, self.name, patience)

    def environment(self) -> dict[str, str | None]:
        """Read the variables that point clients, and this program, at it; None is one to unset."""
        return {"FOGBANK_NAME": self.name, **self.operator().get("/environment")}


def running(name: str) -> RegionNote:
    """Find the running region called ``name``; NotRunningError otherwise."""
    found = find_running(name)
    if found:
        return found
    raise NotRunningError(f"No region called '{name}' is running.{_others()} Start it: {up_command(name)}")


def _others() -> str:
    names = [region.name for region in all_running()]
    return f" These run: {', '.join(names)} (choose with --name)." if names else ""


def there(name: str) -> RegionNote:
    """Find the region called ``name`` that answers or whose process is there; NotRunningError otherwise."""
    try:
        return running(name)
    except OperatorError as error:
        found = next((region for region in all_processes() if region.name == name), None)
        if found is not None:
            return found
        if isinstance(error, NotRunningError):
            raise NotRunningError(f"No region called '{name}' is running.{_others()}") from None
        raise


def find_running(name: str) -> RegionNote | None:
    """Find the running region called ``name``, or None when none answers."""
    for places in (state_folders(name), state_folders(name, ephemeral=True)):
        note = read_note(places)
        if note is not None and answers(places.socket):
            return RegionNote(name, note, places)
    return None


def all_running() -> tuple[RegionNote, ...]:
    """List the regions of this user that answer, by name."""
    home = state_home()
    notes = [*home.glob("*/running.json"), *home.glob(f"{_EPHEMERAL}/*/running.json")]
    names = sorted({path.parent.name for path in notes if _NAME.fullmatch(path.parent.name)})
    return tuple(found for name in names if (found := _find_readable(name)))


def _find_readable(name: str) -> RegionNote | None:
    """Find a running region as `find_running` does; a note that cannot be read is not in the others' way."""
    try:
        return find_running(name)
    except OperatorError as error:
        print(f"warning: {error}", file=sys.stderr)
        return None


def all_there() -> tuple[RegionNote, ...]:
    """List the regions of this user that answer or whose process is there, by name."""
    found = {region.folders.root.resolve(): region for region in all_processes()}
    found |= {region.folders.root.resolve(): region for region in all_running()}
    return tuple(sorted(found.values(), key=lambda region: region.name))


def all_processes() -> tuple[RegionNote, ...]:
    """List what runs of this user's regions, by the outermost processes, whether it answers or not."""
    home = state_home().resolve()
    found = (_read_process(path) for path in Path("/proc").iterdir() if path.name.isdigit())
    return tuple(region for region in found if region and region.folders.root.resolve().is_relative_to(home))


def _read_process(process: Path) -> RegionNote | None:
    """Read the region whose outermost process has the folder ``process`` in /proc; None when it is none."""
    try:
        if process.stat().st_uid != os.geteuid():
            return None
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:  # it has just ended
        return None
    if Path(os.fsdecode(words[0])).name != "unshare" or b"fogbank.app" not in words:
        return None
    try:
        handed = json.loads(words[words.index(b"fogbank.app") + 1])
        places = Folders(Path(handed.pop("root")))
        return RegionNote(str(handed["name"]), handed | {"pid": int(process.name)}, places)
    except (ValueError, LookupError, TypeError, AttributeError):  # another program with words like these
        return None


def state_folders(name: str, *, ephemeral: bool = False) -> Folders:
    """Return the folders of the region ``name``; an ephemeral one never sees those of a lasting one."""
    if not _NAME.fullmatch(name):
        raise OperatorError(f"{name!r} cannot be a region's name. Use a-z, 0-9 and -, such as ci-1.")
    return folders(f"{_EPHEMERAL}/{name}" if ephemeral else name)


def read_note(places: Folders) -> dict[str, Any] | None:
    """Read what the region wrote when it was ready, or None; OperatorError when it cannot be understood."""
    try:
        if places.running.is_fifo():
            raise OperatorError(f"Cannot read {places.running}: it is a pipe. Remove it.")
        content = places.running.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OperatorError(f"Cannot read {places.running}: {error.strerror}") from error
    try:
        note = json.loads(content)
        int(note["pid"]), int(note["port"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise OperatorError(
            f"The state file {places.running} is damaged. If no region runs from that folder, remove it: "
            f"rm {places.running}"
        ) from error
    return dict(note)


def answers(path: Path) -> bool:
    """Return whether somebody listens on the operator socket at ``path``."""
    from fogbank.cli.operator import connect

    try:
        connect(path, _KNOCK_SECONDS).close()
    except OSError:
        return False
    return True


def up_command(name: str) -> str:
    """Write the command that starts the region called ``name``."""
    return "fogbank up --detach" if name == "default" else f"fogbank up --detach --name {name}"
