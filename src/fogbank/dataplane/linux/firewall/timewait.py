"""TIME_WAIT keeps its port: one thread that pins translated connections while they wait.

When a slice of ports is full, the kernel takes the port of a connection in TIME_WAIT for a new one; Google's
gateway does not (behaviour/cloud-nat.md#timeouts). An entry whose timeout is fixed is never taken. So each
entry is pinned, with what is left of its own NAT's timeout, the moment the kernel reports that it entered
TIME_WAIT. A filter on the socket lets only those reports through; when they come too fast and some are lost,
all entries are looked at again.
"""

import contextlib
import ctypes
import errno
import logging
import select
import socket
import struct
import threading
import time

from fogbank.dataplane.linux.firewall.conntrack import (
    FIXED_TIMEOUT,
    HEAD,
    NEW,
    PROTOINFO,
    STATUS,
    TIME_WAIT,
    TIMEOUT,
    TUPLE_ORIG,
    entries,
    key_of,
)
from fogbank.dataplane.linux.net.namespaces import NetworkNamespaces
from fogbank.dataplane.linux.net.netlink import (
    NETLINK_NETFILTER,
    Message,
    Netlink,
    attributes,
    big32,
    messages,
    pack,
)
from fogbank.network.topology import NetnsName

_log = logging.getLogger(__name__)

_UPDATES = 0x2
_SO_ATTACH_FILTER = 26
_FIRST_ATTRIBUTE = 20
_BATCH = 200
_GATHER_SECONDS = 0.001
"""When reports come as quickly as this, they are taken together: each wake-up costs as much as a connection.
The kernel takes ports in TIME_WAIT only after 32 others were taken, or in smaller slices, which are full
before many can come.
"""

# Classic BPF: find the TCP state attribute of a report and keep the report when it is TIME_WAIT.
_FIND, _FIND_INSIDE = 0xFFFF_F000 + 12, 0xFFFF_F000 + 16
_LOAD_NUMBER, _LOAD_WORD, _LOAD_X, _A_TO_X, _LOAD_BYTE_X = 0x00, 0x20, 0x01, 0x07, 0x50
_IF_EQUAL, _RETURN = 0x15, 0x06
_KEEP_TIME_WAIT = (
    (_LOAD_NUMBER, 0, 0, _FIRST_ATTRIBUTE),
    (_LOAD_X, 0, 0, PROTOINFO),
    (_LOAD_WORD, 0, 0, _FIND),
    (_IF_EQUAL, 9, 0, 0),
    (_LOAD_X, 0, 0, 1),
    (_LOAD_WORD, 0, 0, _FIND_INSIDE),
    (_IF_EQUAL, 6, 0, 0),
    (_LOAD_X, 0, 0, 1),
    (_LOAD_WORD, 0, 0, _FIND_INSIDE),
    (_IF_EQUAL, 3, 0, 0),
    (_A_TO_X, 0, 0, 0),
    (_LOAD_BYTE_X, 0, 0, 4),
    (_IF_EQUAL, 1, 0, TIME_WAIT),
    (_RETURN, 0, 0, 0),
    (_RETURN, 0, 0, 0xFFFF_FFFF),
)


class TimeWaitKeeper:
    """Pins TIME_WAIT in the namespaces it was asked to watch, from a thread of its own."""

    def __init__(self, namespaces: NetworkNamespaces) -> None:
        self._namespaces = namespaces
        self._watches: dict[NetnsName, tuple[Netlink, Netlink]] = {}
        self._by_descriptor: dict[int, tuple[Netlink, Netlink]] = {}
        self._poll = select.epoll()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wake_read, self._wake_write = socket.socketpair()

    def watch(self, netns: NetnsName) -> None:
        """Keep the ports of ``netns`` from now on."""
        if netns in self._watches:
            return
        with self._namespaces.inside(netns):
            link, asking = Netlink(NETLINK_NETFILTER, groups=_UPDATES), Netlink(NETLINK_NETFILTER)
        _attach_filter(link.socket)
        link.socket.setblocking(False)
        with contextlib.suppress(OSError):
            link.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        with self._lock:
            self._watches[netns] = self._by_descriptor[link.socket.fileno()] = (link, asking)
            self._poll.register(link.socket.fileno(), select.EPOLLIN)
        if self._thread is None:
            self._poll.register(self._wake_read.fileno(), select.EPOLLIN)
            self._thread = threading.Thread(target=self._run, name="time-wait", daemon=True)
            self._thread.start()

    def forget(self, netns: NetnsName) -> None:
        """Let ``netns`` go."""
        with self._lock:
            pair = self._watches.pop(netns, None)
            if pair is not None:
                descriptor = pair[0].socket.fileno()
                self._poll.unregister(descriptor)
                del self._by_descriptor[descriptor]
                for link in pair:
                    link.close()

    def close(self) -> None:
        """End the thread and let every namespace go."""
        if self._thread is not None:
            self._wake_write.send(b"x")
            self._thread.join()
            self._thread = None
        for netns in tuple(self._watches):
            self.forget(netns)
        self._wake_read.close()
        self._wake_write.close()
        self._poll.close()

    def _run(self) -> None:
        pinned = 0.0
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._wake_read.fileno():
                    return
                if time.monotonic() - pinned < _GATHER_SECONDS:
                    time.sleep(_GATHER_SECONDS)
                with self._lock:
                    pair = self._by_descriptor.get(descriptor)
                    if pair is not None:
                        try:
                            _pin_reported(*pair)
                        except OSError:  # other namespaces still need this thread
                            _log.exception("connections in TIME_WAIT could not be kept")
                pinned = time.monotonic()


def _pin_reported(link: Netlink, asking: Netlink) -> None:
    batch = bytearray()
    for _ in range(_BATCH):
        try:
            data = link.socket.recv(16384)
        except BlockingIOError:
            break
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            _log.warning("connection reports were lost, reading all connections again")
            _pin_all(asking)
            continue
        for kind, _, _, payload in messages(data):
            if kind == NEW:
                batch += _pin(payload)
    if batch:
        with contextlib.suppress(BlockingIOError):
            link.socket.send(batch)


def _pin(payload: bytes) -> bytes:
    """Ask for the reported entry as it is, with the time that it has left as its last."""
    found = attributes(payload, 4)
    status = int.from_bytes(found.get(STATUS, b""), "big")
    if status & FIXED_TIMEOUT or TIMEOUT not in found:
        return b""
    return pack(_fix(found[TUPLE_ORIG], status, int.from_bytes(found[TIMEOUT], "big")), 0)


def _fix(raw: bytes, status: int, seconds: int) -> Message:
    return Message(
        NEW, 0, HEAD + key_of(raw) + big32(STATUS, status | FIXED_TIMEOUT) + big32(TIMEOUT, seconds)
    )


def _pin_all(asking: Netlink) -> None:
    waiting = [e for e in entries(asking) if e.tcp_state == TIME_WAIT and not e.status & FIXED_TIMEOUT]
    for refusal in asking.ask_all([_fix(e.raw, e.status, e.seconds) for e in waiting]):
        if refusal is not None and refusal.errno != errno.ENOENT:
            _log.warning("a waiting connection could not be kept: %s", refusal)


def _attach_filter(target: socket.socket) -> None:
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in _KEEP_TIME_WAIT)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(_KEEP_TIME_WAIT), ctypes.addressof(buffer))
    target.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
