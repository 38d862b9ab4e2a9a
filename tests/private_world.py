"""Tests with real packets, each in a private world of its own.

A test that uses the ``lab`` fixture runs in a forked child inside fresh network, mount, process-id, ipc and
uts namespaces (and a user namespace when the tests are not run by root), so it cannot touch the host, needs
no cleaning up and runs beside others under xdist. It is called the ordinary way: fixtures, parametrisation
and hypothesis (all examples of a test share one world) work, but what the test changes in Python stays in the
child. Its prints and its traceback come back; a failing test also prints ``diagnose()`` of every namespace
that the lab knows.

    from tests.private_world import Lab, lab, pytest_pyfunc_call  # in a conftest.py

    @pytest.mark.netns
    def test_a_neighbour_answers(lab: Lab) -> None:
        lab.build(Namespace(A), Namespace(B), Link(...), ...)    # plan, apply, and the second plan must be
        empty with lab.listen(B, "10.0.0.2", 80):              # accepts and keeps connections, echoes what it
        hears connection = lab.connect(A, "10.0.0.2", 80)  # OSError (TimeoutError) when nothing answers

``lab.build(*elements)`` makes the world hold exactly these elements, so calling it again changes or removes.
``lab.driver`` is the LinuxDriver. A lab made anew (``lab.fresh()``) starts from nothing: for hypothesis
examples.
"""

import contextlib
import faulthandler
import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from tests.stand_in_host import StandInHost

from fogbank.dataplane.driver import Event
from fogbank.dataplane.linux import kernel, world
from fogbank.dataplane.linux.driver import LinuxDriver
from fogbank.dataplane.linux.net.namespaces import NetworkNamespaces
from fogbank.network.topology import Element, Listener, NetnsName, Topology
from fogbank.planning.plan import plan

TIMEOUT = 0.9
"""Seconds after which a connection counts as dropped: before its SYN is sent again, so drops count once."""

_HUNG_SECONDS = 110
"""Then a test that hangs tells where, in every thread; pytest's own limit, later, sees the parent only."""


class Lab:
    """A LinuxDriver that is made on first use, and what tests do with it."""

    pool_size = 0
    watches_drift = False

    def __init__(self) -> None:
        self._driver: LinuxDriver | None = None
        self.events: list[Event] = []
        self.served: dict[tuple[str, ...], socket.socket] = {}

    @property
    def driver(self) -> LinuxDriver:
        if self._driver is None:
            self._driver = LinuxDriver(
                serve=self._serve,
                unserve=self._unserve,
                namespaces=NetworkNamespaces(pool_size=self.pool_size),
                report=self.events.append if self.watches_drift else None,
            )
        return self._driver

    def prepare(self) -> None:
        """Set up the namespaces in which the test runs."""
        world.prepare()

    def _serve(self, listener: Listener, opened: socket.socket) -> None:
        self.served[listener.key] = opened

    def _unserve(self, listener: Listener) -> None:
        self.served.pop(listener.key).close()

    def use(self, **options: Any) -> LinuxDriver:
        """Use a driver with further options, closing the one before."""
        self.fresh()
        self._driver = LinuxDriver(serve=self._serve, unserve=self._unserve, **options)
        return self._driver

    def fresh(self) -> None:
        """Start from nothing."""
        if self._driver is not None:
            self._driver.close()
            self._driver = None

    def build(self, *elements: Element) -> None:
        """Make the world hold exactly ``elements``."""
        desired = Topology.of(elements)
        outcomes = self.driver.apply(plan(self.driver.observe(), desired))
        refused = [f"{outcome.error}: {outcome.action}" for outcome in outcomes if outcome.error]
        left = plan(self.driver.observe(), desired)
        if refused or left:
            pytest.fail(f"refused: {refused}\nleft to do: {left}")

    def diagnose(self) -> str:
        if self._driver is None:
            return ""
        return "\n".join(self._driver.diagnose(netns) for netns in self._driver.namespaces)

    def connect(
        self,
        netns: NetnsName,
        address: str | IPv4Address,
        port: int,
        *,
        timeout: float = 5.0,
        source: str | IPv4Address | None = None,
        source_port: int = 0,
    ) -> socket.socket:
        """Open a TCP connection from ``netns``; OSError when it does not come about."""
        opened = self.driver.open_socket(netns, socket.SOCK_STREAM)
        opened.settimeout(timeout)
        try:
            if source is not None or source_port:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                opened.bind((str(source or "0.0.0.0"), source_port))
            opened.connect((str(address), port))
        except OSError:
            opened.close()
            raise
        return opened

    def reaches(
        self,
        netns: NetnsName,
        address: str | IPv4Address,
        port: int,
        *,
        timeout: float = TIMEOUT,
        source: str | IPv4Address | None = None,
    ) -> bool:
        """Return whether a TCP connection comes about, and close it."""
        try:
            self.connect(netns, address, port, timeout=timeout, source=source).close()
        except OSError:
            return False
        return True

    @contextlib.contextmanager
    def listen(self, netns: NetnsName, address: str | IPv4Address, port: int) -> "Iterator[Server]":
        """Accept TCP connections in ``netns``, remember where they come from, echo what they say."""
        server = Server(self.driver.open_socket(netns, socket.SOCK_STREAM), str(address), port)
        try:
            yield server
        finally:
            server.close()


class Server:
    """A listening socket with a thread: ``peers`` are the (address, port) pairs that connected, in order."""

    def __init__(self, opened: socket.socket, address: str, port: int) -> None:
        self._socket = opened
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address, port))
        opened.listen(1024)
        self.peers: list[tuple[str, int]] = []
        self._heard = threading.Event()
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, peer = self._socket.accept()
                self.peers.append(peer)
                self._heard.set()
                self._connections.append(connection)
                threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def first_peer(self) -> tuple[str, int]:
        """Wait until somebody has connected, and tell who was first."""
        assert self._heard.wait(5), "nobody connected"
        return self.peers[0]

    def _echo(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)
        connection.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for each in (self._socket, *self._connections):
            each.close()


@pytest.fixture
def lab() -> Lab:
    """The lab of one test; asking for it makes the test run in a private world."""
    return Lab()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    found = next((value for value in arguments.values() if isinstance(value, (Lab, StandInHost))), None)
    if found is None:
        return None
    run_in_private_world(lambda: pyfuncitem.obj(**arguments), found.prepare, found.diagnose)
    return True


def run_in_private_world(
    test: Callable[[], object],
    prepare: Callable[[], None] = world.prepare,
    on_failure: Callable[[], str] = str,
) -> None:
    """Call ``test`` as root of fresh namespaces that ``prepare`` furnishes; a failure there is one here."""
    read, write = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(read)
        status = 97
        try:
            status = _run_outer(test, prepare, on_failure, write)
        finally:
            os._exit(status)
    os.close(write)
    try:
        with os.fdopen(read, "rb") as pipe:
            complaint = pipe.read().decode(errors="replace")
        _, status = os.waitpid(child, 0)
    except BaseException:
        os.kill(child, 9)
        os.waitpid(child, 0)
        raise
    if complaint or status:
        pytest.fail(complaint or f"the private world ended with status {status}", pytrace=False)


def _run_outer(
    test: Callable[[], object], prepare: Callable[[], None], on_failure: Callable[[], str], write: int
) -> int:
    kernel.die_with_parent()
    own = kernel.CLONE_NEWNET | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID
    enter_user_namespace_if_needed()
    kernel.unshare(own | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS)
    first = os.fork()
    if first:
        os.close(write)
        _, status = os.waitpid(first, 0)
        return os.waitstatus_to_exitcode(status) & 0xFF
    kernel.die_with_parent()
    faulthandler.dump_traceback_later(_HUNG_SECONDS, file=write, exit=True)
    try:
        kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
        kernel.mount("proc", "/proc", "proc")
        prepare()
        test()
    except BaseException:  # noqa: BLE001  # whatever it was, the parent reports it
        report = traceback.format_exc()
        with contextlib.suppress(Exception):
            report = f"{on_failure()}\n{report}"
        os.write(write, report.encode()[-60000:])
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def enter_user_namespace_if_needed() -> None:
    """Become root of a user namespace with this one user, unless root already."""
    if os.geteuid() == 0:
        return
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(kernel.CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        Path(f"/proc/self/{name}").write_text(text)
