"""Starting and stopping a region: its folder, its doors, its world, and the note that says where it is.

`fogbank.dataplane.linux.world` makes the world; here is everything around it that belongs to the person at
the terminal: refusing with a remedy, replacing what a killed region left behind, removing what was to be kept
nowhere.
"""

import fcntl
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path

from fogbank.cli.checks import essentials
from fogbank.cli.regions import RegionNote, answers, find_running, read_note, state_folders
from fogbank.dataplane.linux import world
from fogbank.errors import OperatorError
from fogbank.resources.places import REGIONS
from fogbank.resources.projects import is_usable_id
from fogbank.settings import Folders, Settings
from fogbank.store.lines import LARGEST_BYTES

_STOP_SECONDS = 15.0
_DOWN_SECONDS = 5.0


def start(settings: Settings, *, detach: bool, quiet: bool = False) -> tuple[RegionNote, world.Launched]:
    """Start a region and wait until it is ready; OperatorError says what is in the way.

    With ``detach`` it outlives this process, otherwise it ends with it. What it prints goes to its log when
    it is detached or ``quiet``.
    """
    _refuse_unfit_machine()
    _refuse_settings(settings)
    places = state_folders(settings.name, ephemeral=settings.ephemeral)
    with _alone(places, settings):
        _refuse_running(settings, places)
        if settings.ephemeral:
            _empty(places.root)
            _sweep(places)
        listeners = world.open_listeners(settings.port, places.socket)
        actual = replace(settings, port=listeners.port)
        log = places.log if detach or quiet else None
        _turn_over(places.log)
        try:
            launched = world.launch(program(actual, places), listeners=listeners, log=log, detach=detach)
        except OperatorError:
            if settings.ephemeral:  # the error has the log's last words
                shutil.rmtree(places.root)
            raise
        note = asdict(actual) | {"pid": launched.pid, "version": version("fogbank")} | dict(launched.answer)
        _write_note(places, note)
    return RegionNote(settings.name, note, places), launched


def _turn_over(log: Path) -> None:
    """Begin a new log when the old one has grown; one older is kept."""
    if log.exists() and log.stat().st_size > LARGEST_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))


def program(settings: Settings, places: Folders) -> list[str]:
    """Write the command line of the region's own program."""
    handed = json.dumps({"root": str(places.root), **asdict(settings)})
    return [sys.executable, "-m", "fogbank.app", handed]


def stop(region: RegionNote) -> None:
    """End ``region`` and wait until it is gone; one that does not listen is killed."""
    try:
        region.operator(_DOWN_SECONDS).post("/down", {})
    except OperatorError as error:
        print(f"{error} Ending it from outside.", file=sys.stderr)
    world.stop(region.pid, _STOP_SECONDS)
    forget(region)


def forget(region: RegionNote) -> None:
    """Remove the note of a region that has ended, and all of its folder when nothing was to be kept."""
    region.folders.running.unlink(missing_ok=True)
    region.folders.socket.unlink(missing_ok=True)
    if region.note.get("ephemeral"):
        with suppress(FileNotFoundError):  # `fogbank down` elsewhere may be at it, too
            shutil.rmtree(region.folders.root)


def _refuse_unfit_machine() -> None:
    lacking = [check for check in essentials() if check.required and not check.good]
    if lacking:
        lines = "".join(f"\n  {check.what}: {check.found}. {check.remedy}" for check in lacking)
        raise OperatorError(f"This machine cannot run a region yet:{lines}")


def _refuse_settings(settings: Settings) -> None:
    """Refuse a project or a region that no client could use."""
    if not is_usable_id(settings.project):
        raise OperatorError(
            f"--project: {settings.project!r} cannot be a project's id. Use 3 to 30 lower-case letters, "
            "digits and hyphens; begin with a letter and do not end with a hyphen."
        )
    if not re.fullmatch(r"([1-9]\d{5,14})?", settings.project_number):
        raise OperatorError(
            f"--project-number: {settings.project_number!r} cannot be a project's number. Use 6 to 15 "
            "digits, the first of them not 0."
        )
    if settings.region not in REGIONS:
        near = get_close_matches(settings.region, REGIONS, n=3) or ["asia-northeast3"]
        raise OperatorError(
            f"--region: {settings.region!r} is no region of Google Cloud. Such as: {', '.join(near)}."
        )


def _refuse_running(settings: Settings, places: Folders) -> None:
    """Refuse when the name is taken by a region that runs, or by a process that does not answer."""
    name = settings.name
    option = "" if name == Settings().name else f" --name {name}"
    if found := find_running(name):
        raise OperatorError(
            f"Region '{name}' is already up on port {found.port}. Use it: eval \"$(fogbank env{option})\". "
            f"Stop it: fogbank down{option}. "
            "Or start another beside it: fogbank up --detach --name other --port 0"
        )
    note = read_note(places)
    if note and is_region(int(note["pid"])) and not answers(places.socket):
        raise OperatorError(
            f"Region '{name}' (process {note['pid']}) runs but does not answer on {places.socket}. "
            f"End it: kill -9 {note['pid']} (everything it made goes with it), then start it again."
        )
    places.running.unlink(missing_ok=True)


def is_region(pid: int) -> bool:
    """Return whether process ``pid`` is the outermost one of a region."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"fogbank.app" in words


@contextmanager
def _alone(places: Folders, settings: Settings) -> Iterator[None]:
    """Hold the folder, so that two starts of one name do not meet; make it first, private."""
    try:
        places.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        places.root.chmod(0o700)
        descriptor = os.open(places.root, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise OperatorError(
            f"The folder {places.root} cannot be used ({error.strerror}). "
            "Set XDG_STATE_HOME to a folder of yours."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise OperatorError(f"Somebody else is starting region '{settings.name}' just now.") from error
    finally:
        os.close(descriptor)


def _sweep(ours: Folders) -> None:
    """Remove what ephemeral regions left behind when they were killed."""
    for root in ours.root.parent.iterdir():
        if root == ours.root or answers(Folders(root).socket):
            continue
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(root)
        except BlockingIOError:  # it is just being started
            continue
        finally:
            os.close(descriptor)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _write_note(places: Folders, note: dict[str, object]) -> None:
    """Write the note in one step: a reader sees all of it or none."""
    draft = places.running.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(note, indent=2) + "\n")
    draft.replace(places.running)
