"""Which regions run: their state folders, the note each leaves when ready, a knock on the operator socket.

A note without an answer on the socket is stale: the region was killed. The next `up` replaces it.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fogbank.cli.exits import NotRunningError
from fogbank.errors import OperatorError
from fogbank.settings import Folders, folders, state_home

if TYPE_CHECKING:
    from fogbank.cli.operator import Operator

_KNOCK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Running:
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

    def operator(self) -> "Operator":
        """Make a client of its operator socket."""
        from fogbank.cli.operator import Operator

        return Operator(self.folders.socket, self.name)

    def environment(self) -> dict[str, str]:
        """Read the variables that point clients, and this program, at it."""
        return {"FOGBANK_NAME": self.name, **self.operator().get("/environment")}


def running(name: str) -> Running:
    """Find the running region called ``name``; NotRunningError otherwise."""
    found = find_running(name)
    if found:
        return found
    others = [region.name for region in all_running()]
    hint = f" These run: {', '.join(others)} (choose with --name)." if others else ""
    raise NotRunningError(f"No region called '{name}' is running.{hint} Start it: {up_command(name)}")


def find_running(name: str) -> Running | None:
    """Find the running region called ``name``, or None when none answers."""
    places = folders(name)
    note = read_note(places)
    if note is None or not answers(places.socket):
        return None
    return Running(name, note, places)


def all_running() -> tuple[Running, ...]:
    """List the regions of this user that answer, by name."""
    home = state_home()
    names = sorted(path.parent.name for path in home.glob("*/running.json"))
    return tuple(found for name in names if (found := find_running(name)))


def read_note(places: Folders) -> dict[str, Any] | None:
    """Read what the region wrote when it was ready, or None; OperatorError when it cannot be understood."""
    try:
        text = places.running.read_text()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OperatorError(f"Cannot read {places.running}: {error.strerror}") from error
    try:
        note = json.loads(text)
        int(note["pid"]), int(note["port"])
    except (ValueError, KeyError, TypeError) as error:
        raise OperatorError(
            f"The state file {places.running} is damaged. If no region runs from that folder, remove it: "
            f"rm {places.running}"
        ) from error
    return dict(note)


def answers(path: Path) -> bool:
    """Tell whether somebody listens on the operator socket at ``path``."""
    from fogbank.cli.operator import connect

    try:
        connect(path, _KNOCK_SECONDS).close()
    except OSError:
        return False
    return True


def alive(pid: int) -> bool:
    """Tell whether a process with this number exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def up_command(name: str) -> str:
    """Write the command that starts the region called ``name``."""
    return "fogbank up --detach" if name == "default" else f"fogbank up --detach --name {name}"
