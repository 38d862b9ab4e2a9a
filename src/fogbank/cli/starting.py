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
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path

from fogbank.cli.checks import essentials
from fogbank.cli.operator import serves
from fogbank.cli.regions import RegionNote, answers, find_running, state_folders
from fogbank.dataplane.linux import world
from fogbank.errors import OperatorError
from fogbank.resources.places import REGIONS
from fogbank.resources.projects import is_googles_own, is_usable_id
from fogbank.settings import Folders, Settings
from fogbank.store.lines import LARGEST_BYTES

_STOP_SECONDS = 15.0
_DOWN_SECONDS = 5.0
_DYING_SECONDS = 10.0
"""How long a killed region is waited for: the kernel takes its processes and doors away one by one."""
_POLL_SECONDS = 0.02
_LEAST_ROOM = 1024 * 1024
"""Bytes that a region cannot begin without: its database, its log and its certificates."""


def start(
    settings: Settings, *, detach: bool, quiet: bool = False, any_port: bool = False
) -> tuple[RegionNote, world.Launched]:
    """Start a region and wait until it is ready; OperatorError says what is in the way.

    With ``detach`` it outlives this process, otherwise it ends with it. What it prints goes to its log when
    it is detached or ``quiet``. With ``any_port`` a free port serves when another program has the one that is
    set; the note has which.
    """
    _refuse_unfit_machine()
    _refuse_settings(settings)
    places = state_folders(settings.name, ephemeral=settings.ephemeral)
    with _alone(places, settings) as lock:
        killed = places.running.exists()
        if settings.ephemeral:
            _empty(places.root)
            _sweep(places)
        _turn_over(places)
        listeners = _open_listeners(settings.port, places, patient=killed, any_port=any_port)
        actual = replace(settings, port=listeners.port)
        region = RegionNote(settings.name, asdict(actual) | {"pid": 0, "version": version("fogbank")}, places)
        try:
            launched = world.launch(
                program(actual, places),
                listeners=listeners,
                log=places.log if detach or quiet else None,
                detach=detach,
                held=(lock,),
                # Before it is ready: whatever ends this process, there is no region without a note.
                started=lambda pid: _write_note(places, region.note | {"pid": pid}),
            )
        except BaseException as error:
            _remove(region)  # the error has the log's last words
            if isinstance(error, OSError):
                raise _unwritable(places, error) from error
            if isinstance(error, OperatorError) and _is_full(places):
                raise OperatorError(f"{error} The disk that holds {places.root} is full.") from error
            raise
    return replace(region, note=region.note | {"pid": launched.pid}), launched


def _open_listeners(port: int, places: Folders, *, patient: bool, any_port: bool) -> world.Listeners:
    """Open the doors; when the last region here was killed, wait for the kernel to close its own."""
    deadline = time.monotonic() + (_DYING_SECONDS if patient else 0.0)
    while True:
        try:
            return world.open_listeners(port, places.socket)
        except OperatorError as error:
            if time.monotonic() >= deadline:
                if any_port and isinstance(error, world.PortTakenError):
                    return world.open_listeners(0, places.socket)
                raise
            time.sleep(_POLL_SECONDS)


def _unwritable(places: Folders, error: OSError) -> OperatorError:
    return OperatorError(
        f"The folder {places.root} cannot be written to ({error.strerror}), so no region was started. "
        "Make room, or set XDG_STATE_HOME to another folder."
    )


def _is_full(places: Folders) -> bool:
    """Tell whether the disk is the reason why a region did not start, which SQLite calls an I/O error."""
    if not places.root.exists():
        return False
    disk = os.statvfs(places.root)
    return disk.f_bavail * disk.f_frsize < _LEAST_ROOM


def _turn_over(places: Folders) -> None:
    """Begin a new log when the old one has grown; one older is kept."""
    log = places.log
    try:
        if log.exists() and log.stat().st_size > LARGEST_BYTES:
            log.replace(log.with_name(f"{log.name}.1"))
    except OSError as error:
        raise _unwritable(places, error) from error


def program(settings: Settings, places: Folders) -> list[str]:
    """Write the command line of the region's own program."""
    handed = json.dumps({"root": str(places.root), **asdict(settings)})
    return [sys.executable, "-m", "fogbank.app", handed]


def stop(region: RegionNote) -> None:
    """End ``region`` and wait until it is gone; one that does not listen or end is killed."""
    try:
        region.operator(_DOWN_SECONDS).post("/down", {})
    except OperatorError as error:
        print(f"{error} Ending it from outside.", file=sys.stderr)
    world.stop(region.pid, _STOP_SECONDS)
    forget(region)


def forget(region: RegionNote) -> None:
    """Remove the note of a region that has ended, and all of its folder when nothing was to be kept.

    Not when another one has begun there meanwhile, which holds the lock.
    """
    with suppress(FileNotFoundError), _opened(region.folders.root) as descriptor:
        deadline = time.monotonic() + _DYING_SECONDS
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline or find_running(region.name):
                return
            time.sleep(_POLL_SECONDS)
        _remove(region)


def delete_folder(places: Folders) -> None:
    """Delete the state of a region that has ended; OperatorError when one has begun there meanwhile."""
    with _opened(places.root) as descriptor:
        if not _try_lock(descriptor):
            raise OperatorError(f"A region is being started in {places.root}: its state was not deleted.")
        shutil.rmtree(places.root)


def _remove(region: RegionNote) -> None:
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
    if is_googles_own(settings.project):
        raise OperatorError(
            f"--project: {settings.project!r} is a project of Google's service agents. Use another."
        )
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


def _refuse_running(settings: Settings) -> None:
    """Refuse when the name is taken by a region that runs."""
    name = settings.name
    option = _option(settings)
    if (found := find_running(name)) and serves(found.folders.socket, _DOWN_SECONDS):
        raise OperatorError(
            f"Region '{name}' is already up on port {found.port}. Use it: eval \"$(fogbank env{option})\". "
            f"Stop it: fogbank down{option}. "
            "Or start another beside it: fogbank up --detach --name other --port 0"
        )


def _option(settings: Settings) -> str:
    return "" if settings.name == Settings().name else f" --name {settings.name}"


@contextmanager
def _alone(places: Folders, settings: Settings) -> Iterator[int]:
    """Hold the folder's lock, which a region keeps as long as its own processes live; the block has it.

    The folder is made, private. A region that is just dying is waited for; OperatorError when it is not gone
    by then.
    """
    try:
        places.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        places.root.chmod(0o700)
    except OSError as error:
        raise OperatorError(
            f"The folder {places.root} cannot be used ({error.strerror}). "
            "Set XDG_STATE_HOME to a folder of yours."
        ) from error
    with _opened(places.root) as descriptor:
        deadline = time.monotonic() + _DYING_SECONDS
        while not _try_lock(descriptor):
            _refuse_running(settings)
            if time.monotonic() >= deadline:
                raise OperatorError(
                    f"Region '{settings.name}' runs but does not answer, or somebody is starting it. "
                    f"See: fogbank list. End it: fogbank down{_option(settings)}"
                )
            time.sleep(_POLL_SECONDS)
        _refuse_running(settings)  # the other kind of the same name has another folder
        yield descriptor


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sweep(ours: Folders) -> None:
    """Remove what ephemeral regions left behind when they were killed."""
    for root in ours.root.parent.iterdir():
        if root == ours.root or root.is_symlink() or not root.is_dir() or answers(Folders(root).socket):
            continue
        with suppress(FileNotFoundError), _opened(root) as descriptor:  # another start may sweep, too
            if _try_lock(descriptor):  # otherwise it is just being started, or does not answer
                shutil.rmtree(root)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _write_note(places: Folders, note: dict[str, object]) -> None:
    """Write the note in one step: a reader sees all of it or none."""
    draft = places.running.with_suffix(".new")
    try:
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(note, indent=2) + "\n")
        draft.replace(places.running)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
