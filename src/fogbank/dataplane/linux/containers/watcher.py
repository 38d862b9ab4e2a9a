"""One thread that watches all containers: what they write, when they end, and whether they stop when told to.

Containers are children of crun processes, which end when their container does, with its exit status.
"""

import contextlib
import logging
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fogbank.dataplane.driver import MemoryExceeded
from fogbank.dataplane.linux.containers.memory import (
    LATEST,
    LATEST_FOR_MACHINES,
    SOONEST,
    seconds_to_next_look,
    used_bytes,
)
from fogbank.dataplane.linux.containers.processes import largest
from fogbank.network.topology import Workload

_log = logging.getLogger(__name__)

_LONGEST_LINE = 64 * 1024
_TICK_SECONDS = 0.02
"""How often a container that should stop is looked at until it can be told."""
_ALLOWANCE = 2 * 1024 * 1024
"""How many bytes a container may write in a second; then its pipes wait, and it does when they are full."""
_LINE_COST = 200
"""What a line counts beside its bytes: some ten thousand empty ones make a second's allowance."""


@dataclass(slots=True, eq=False)
class RunningContainer:
    """A container: ``process`` is its crun, ``network`` keeps its namespace, ``folder`` holds its files."""

    id: str
    workload: Workload
    process: subprocess.Popen[bytes]
    folder: Path
    network: int
    users: int | None = None
    """The user namespace that it joined, kept like its network."""
    deadline: float | None = None
    """When SIGKILL follows, once it should stop."""
    requested: bool = False
    """Whether SIGTERM was sent."""
    spent: int = 0
    """How much of its allowance it has written since ``since``."""
    since: float = 0.0
    exceeded: MemoryExceeded | None = None
    """What it was ended for."""
    next_look: float = 0.0
    """When its memory is measured again."""
    unfinished: dict[str, bytes] = field(default_factory=dict)
    """By stream, the beginning of a line whose end has not come yet."""

    @property
    def pid(self) -> int | None:
        """The container's first process in our process namespace; None before crun has made it."""
        try:
            return int((self.folder / "pid").read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    @property
    def program(self) -> int | None:
        """The container's first process once it runs the program in its own root; None before."""
        pid = self.pid
        if pid is None:
            return None
        try:
            program, crun = (Path(f"/proc/{number}/exe").readlink() for number in (pid, self.process.pid))
        except OSError:
            return None
        # crun runs from a copy of itself
        return None if program == crun or str(program).startswith("/memfd:crun") else pid

    def heeds_sigterm(self) -> bool:
        """Return whether the program is there and catches SIGTERM, or waits for it with the signal blocked.

        The kernel drops a signal that the first process of a namespace does not catch, so one that comes
        while crun still prepares, or before the program is ready for it, would be lost.
        """
        pid = self.program
        if pid is None:
            return False
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return False
        lines = dict(line.split(":\t", 1) for line in status.splitlines() if line.startswith("Sig"))
        return bool((int(lines["SigCgt"], 16) | int(lines["SigBlk"], 16)) >> (signal.SIGTERM - 1) & 1)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the first process, or to crun as long as there is none."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid or self.process.pid, number)


class Watcher:
    """Reports lines with ``wrote`` and ends with ``ended``, both called in its own thread."""

    def __init__(
        self,
        wrote: Callable[[RunningContainer, str, str], None],
        ended: Callable[[RunningContainer, int], None],
    ) -> None:
        self._wrote = wrote
        self._ended = ended
        self._selector = selectors.DefaultSelector()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._lock = threading.Lock()
        self._arrived: list[RunningContainer] = []
        self._stopping: set[RunningContainer] = set()
        self._paused: dict[int, tuple[RunningContainer, str]] = {}
        self._limited: set[RunningContainer] = set()
        self._closed = False
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="containers", daemon=True)
        self._thread.start()

    def add(self, running: RunningContainer) -> None:
        """Watch a container from now on."""
        with self._lock:
            self._arrived.append(running)
        os.eventfd_write(self._wake, 1)

    def stop(self, running: RunningContainer, grace: float) -> None:
        """Return a container to end, and after ``grace`` seconds make it."""
        with self._lock:
            if running.process.returncode is not None:
                return  # it has just ended, and its number may belong to another by now
            running.deadline = time.monotonic() + grace
            self._stopping.add(running)
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        self._selector.close()
        os.close(self._wake)

    def _run(self) -> None:
        while not self._closed:
            for key, _ in self._selector.select(self._timeout()):
                if key.fd == self._wake:
                    os.eventfd_read(self._wake)
                    continue
                running, what = key.data
                try:
                    self._attend(running, what, key.fd)
                except Exception:  # noqa: BLE001 - the other containers are still watched
                    _log.exception("watching %s failed", running.id)
            self._welcome()
            self._press()
            self._resume()
            self._measure()

    def _timeout(self) -> float | None:
        """Return how long nothing need be done unless a descriptor says so."""
        if self._stopping or self._paused:
            return _TICK_SECONDS
        if not self._limited:
            return None
        return max(0.0, min(each.next_look for each in self._limited) - time.monotonic())

    def _attend(self, running: RunningContainer, what: str, descriptor: int) -> None:
        """React to one descriptor that became readable."""
        if what == "exit":
            self._finish(running, descriptor)
        elif descriptor in self._selector.get_map():  # the container may have ended in this very round
            self._read(running, what, descriptor)
            if running.spent > _ALLOWANCE and descriptor in self._selector.get_map():
                self._selector.unregister(descriptor)
                self._paused[descriptor] = (running, what)

    def _welcome(self) -> None:
        with self._lock:
            arrived, self._arrived = self._arrived, []
        for running in arrived:
            for stream, pipe in _pipes(running):
                os.set_blocking(pipe, False)
                self._selector.register(pipe, selectors.EVENT_READ, (running, stream))
            exit_descriptor = os.pidfd_open(running.process.pid)
            self._selector.register(exit_descriptor, selectors.EVENT_READ, (running, "exit"))
            if running.workload.memory_limit is not None:
                running.next_look = time.monotonic() + SOONEST
                self._limited.add(running)

    def _press(self) -> None:
        """Send SIGTERM to those that should stop and heed it by now; SIGKILL when their time is over."""
        with self._lock:
            stopping = list(self._stopping)
        now = time.monotonic()
        for running in stopping:
            if running.deadline is not None and now >= running.deadline:
                running.send(signal.SIGKILL)
            elif not running.requested and running.heeds_sigterm():
                running.send(signal.SIGTERM)
                running.requested = True

    def _measure(self) -> None:
        """End the containers that use more memory than they may."""
        now = time.monotonic()
        for running in [each for each in self._limited if each.next_look <= now]:
            pid, limit = running.program, running.workload.memory_limit or 0
            used = 0 if pid is None else used_bytes(pid, running.folder / "memory", limit)
            latest = LATEST_FOR_MACHINES if running.workload.machine else LATEST
            running.next_look = now + seconds_to_next_look(limit, used, latest)
            if pid is not None and used > limit and running.workload.machine:
                self._end_largest(running, pid)
            elif used > limit:
                running.exceeded = MemoryExceeded(limit, used)
                running.send(signal.SIGKILL)
                self._limited.discard(running)

    def _end_largest(self, running: RunningContainer, first: int) -> None:
        """End the largest process of a machine, as its kernel would, and tell its console."""
        found = largest(first)
        if found is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(found[0], signal.SIGKILL)
            self._wrote(running, "stdout", f"Out of memory: Killed process ({found[1]})")

    def _resume(self) -> None:
        """Listen again to those who wrote too much, a second after they began to."""
        now = time.monotonic()
        for pipe, (running, stream) in list(self._paused.items()):
            if now - running.since >= 1:
                del self._paused[pipe]
                self._selector.register(pipe, selectors.EVENT_READ, (running, stream))

    def _read(self, running: RunningContainer, stream: str, pipe: int) -> bool:
        """Read some of what a pipe holds, and tell whether there was anything; forget it at its end."""
        try:
            chunk = os.read(pipe, 65536)
        except BlockingIOError:
            return False
        if not chunk:
            self._selector.unregister(pipe)
            return False
        *lines, rest = (running.unfinished.pop(stream, b"") + chunk).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            lines.append(rest)
            rest = b""
        if rest:
            running.unfinished[stream] = rest
        now = time.monotonic()
        if now - running.since >= 1:
            running.spent, running.since = 0, now
        running.spent += len(chunk) + _LINE_COST * len(lines)
        for line in lines:
            self._wrote(running, stream, line.decode(errors="replace"))
        return True

    def _finish(self, running: RunningContainer, exit_descriptor: int) -> None:
        self._selector.unregister(exit_descriptor)
        os.close(exit_descriptor)
        watched = self._selector.get_map()
        for stream, pipe in _pipes(running):
            if self._paused.pop(pipe, None):
                self._selector.register(pipe, selectors.EVENT_READ, (running, stream))
            while pipe in watched and self._read(running, stream, pipe):
                pass
            if pipe in watched:
                self._selector.unregister(pipe)
            if rest := running.unfinished.pop(stream, b""):
                self._wrote(running, stream, rest.decode(errors="replace"))
        status = running.process.wait()
        for file in (running.process.stdout, running.process.stderr):
            if file:
                file.close()
        self._limited.discard(running)
        with self._lock:
            self._stopping.discard(running)
        # crun reports a signal as shells do.
        self._ended(running, 128 - status if status > 128 else status)


def _pipes(running: RunningContainer) -> tuple[tuple[str, int], ...]:
    stdout, stderr = running.process.stdout, running.process.stderr
    if stdout is None or stderr is None:
        raise ValueError("a container's output goes to pipes")
    return (("stdout", stdout.fileno()), ("stderr", stderr.fileno()))
