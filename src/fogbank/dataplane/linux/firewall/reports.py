"""Reports of the kernel's, read as they come by one thread and kept until somebody takes them.

A report is kept as it came: reading it costs twenty times as much as keeping it, and is done where the
event loop does not wait for it. Those that nobody takes are lost from the oldest on.
"""

import contextlib
import errno
import logging
import select
import socket
import threading
from collections import deque
from collections.abc import Callable

from fogbank.dataplane.linux.net.netlink import Netlink
from fogbank.network.topology import NetnsName

_log = logging.getLogger(__name__)

KEPT = 100_000
"""Reports that are kept for each namespace."""
_BUFFER_BYTES = 8 * 1024 * 1024
_MESSAGE_BYTES = 64 * 1024
_AT_ONCE = 500


class Reports:
    """Reads the reports of any number of namespaces from a thread of its own.

    ``wake`` is called in that thread when there are some for a namespace that had none.
    """

    def __init__(self, name: str, wake: Callable[[NetnsName], None] | None = None) -> None:
        self._name, self._wake = name, wake
        self._links: dict[NetnsName, Netlink] = {}
        self._kept: dict[NetnsName, deque[bytes]] = {}
        self._by_descriptor: dict[int, NetnsName] = {}
        self._poll = select.epoll()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wake_read, self._wake_write = socket.socketpair()

    def __contains__(self, netns: object) -> bool:
        return netns in self._links

    def add(self, netns: NetnsName, link: Netlink) -> None:
        """Read what comes on ``link`` from now on; it is closed when the namespace is let go."""
        link.socket.setblocking(False)
        with contextlib.suppress(OSError):
            link.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        with self._lock:
            self._links[netns], self._kept[netns] = link, deque(maxlen=KEPT)
            self._by_descriptor[link.socket.fileno()] = netns
            self._poll.register(link.socket.fileno(), select.EPOLLIN)
        if self._thread is None:
            self._poll.register(self._wake_read.fileno(), select.EPOLLIN)
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def take(self, netns: NetnsName) -> list[bytes]:
        """Return what came since the last call, each as it was read, and what waits to be read."""
        with self._lock:
            if netns not in self._links:
                return []
            while self._receive(netns):
                pass
            kept = self._kept[netns]
            found = list(kept)
            kept.clear()
        return found

    def forget(self, netns: NetnsName) -> None:
        """Let ``netns`` go."""
        with self._lock:
            link = self._links.pop(netns, None)
            if link is not None:
                descriptor = link.socket.fileno()
                self._poll.unregister(descriptor)
                del self._by_descriptor[descriptor], self._kept[netns]
                link.close()

    def close(self) -> None:
        """End the thread and let every namespace go."""
        if self._thread is not None:
            self._wake_write.send(b"x")
            self._thread.join()
            self._thread = None
        for netns in tuple(self._links):
            self.forget(netns)
        self._wake_read.close()
        self._wake_write.close()
        self._poll.close()

    def _run(self) -> None:
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._wake_read.fileno():
                    return
                woken = None
                with self._lock:
                    netns = self._by_descriptor.get(descriptor)
                    if netns is not None:
                        had = bool(self._kept[netns])
                        self._receive(netns)
                        woken = None if had else netns
                if woken is not None and self._wake is not None:
                    self._wake(woken)

    def _receive(self, netns: NetnsName) -> bool:
        """Keep what has come, up to a number; return whether there may be more."""
        source, kept = self._links[netns].socket, self._kept[netns]
        for _ in range(_AT_ONCE):
            try:
                data = source.recv(_MESSAGE_BYTES)
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    _log.exception("%s of %s cannot be read", self._name, netns)
                    return False
                _log.warning("%s of %s came too fast, some were lost", self._name, netns)
                continue
            if len(kept) == KEPT:
                _log.warning("%s of %s: nobody took the oldest, they are lost", self._name, netns)
                kept.clear()
            kept.append(data)
        return True
