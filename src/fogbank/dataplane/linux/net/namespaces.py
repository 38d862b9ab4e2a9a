"""Network namespaces by name: made, prepared, entered, let go.

A namespace is nothing but an open descriptor; when it is closed and no process or socket is left inside, the
kernel removes the namespace with everything in it. Programs that want a path (crun) get one through this
process's descriptor table, so nothing is mounted. A few prepared namespaces wait in a pool, because making
one is the slowest part of a new instance.
"""

import os
import shutil
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fogbank.dataplane.linux import kernel
from fogbank.dataplane.linux.net import rtnetlink
from fogbank.dataplane.linux.net.netlink import NETLINK_ROUTE, Netlink
from fogbank.errors import DriverError
from fogbank.network.topology import NetnsName

_NET = "/proc/sys/net/"
_HAS_IPV6 = Path(_NET, "ipv6").is_dir()

# IPv6 off first: it spares each new link its duplicate address detection.
_COMMON: Mapping[str, str] = {
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv6/conf/default/disable_ipv6": "1",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv4/conf/all/accept_redirects": "0",
    "ipv4/conf/default/accept_redirects": "0",
    # Without it, an address takes those of its own range along when it goes.
    "ipv4/conf/all/promote_secondaries": "1",
    "ipv4/ip_unprivileged_port_start": "0",
}
# A flow keeps its way by what stands in its packets: both addresses, the protocol, both ports. The usual
# policy for that (1) prefers a number of the sending socket's, which changes when something is sent again.
_HASH_OF_PACKET: Mapping[str, str] = {
    "ipv4/fib_multipath_hash_fields": str(0x1 | 0x2 | 0x4 | 0x10 | 0x20),
    "ipv4/fib_multipath_hash_policy": "3",
}
# Kernels before 5.12 have no other.
_HASH_OF_SOCKET: Mapping[str, str] = {"ipv4/fib_multipath_hash_policy": "1"}
_CAN_HASH_PACKETS = Path(_NET, "ipv4/fib_multipath_hash_fields").exists()

_ROUTER: Mapping[str, str] = {
    "ipv4/ip_forward": "1",
    "ipv4/conf/all/send_redirects": "0",
    "ipv4/conf/default/send_redirects": "0",
    **(_HASH_OF_PACKET if _CAN_HASH_PACKETS else _HASH_OF_SOCKET),
}

POOL_SIZE = 16


class NetworkNamespaces:
    """Every network namespace of the world, by name; ``home`` is the daemon's own."""

    def __init__(self, pool_size: int = POOL_SIZE) -> None:
        self.home = kernel.open_own_network()
        self._networks: dict[NetnsName, int] = {}
        self._owners: dict[NetnsName, int] = {}
        """The user namespaces of those that are delegated."""
        self._ids: tuple[tuple[int, int, int], ...] = ()
        self._routes: dict[NetnsName, Netlink] = {}
        self._pool: deque[int] = deque()
        self._pool_size = pool_size
        self._pool_lock = threading.Lock()

    def delegate_to(self, ids: tuple[tuple[int, int, int], ...]) -> None:
        """Say which ids users of delegated namespaces have: rows as in /proc/self/uid_map, or none."""
        self._ids = ids

    def create(self, name: NetnsName, *, forwards: bool, delegated: bool = False) -> None:
        """Make the namespace ``name``, with its loopback up.

        One that is ``delegated`` belongs to a user namespace of its own, where such can be had.
        """
        owner = -1
        if delegated and self._ids:
            owner, network = self._delegated()
        else:
            with self._pool_lock:
                network = self._pool.popleft() if self._pool else -1
            if network < 0:
                network = self._fresh()
        try:
            if forwards:
                with kernel.inside(network, home=self.home):
                    write_settings(_ROUTER)
        except OSError:
            os.close(network)
            if owner >= 0:
                os.close(owner)
            raise
        self._networks[name] = network
        if owner >= 0:
            self._owners[name] = owner

    def set_forwarding(self, name: NetnsName, *, forwards: bool) -> None:
        """Turn a namespace into a router, or a router into an endpoint."""
        with self.inside(name):
            write_settings(_ROUTER if forwards else {"ipv4/ip_forward": "0"})

    def remove(self, name: NetnsName) -> None:
        """Let ``name`` go; the kernel clears it away once nobody is inside."""
        routes = self._routes.pop(name, None)
        if routes is not None:
            routes.close()
        for descriptor in (self._networks.pop(name, None), self._owners.pop(name, None)):
            if descriptor is not None:
                os.close(descriptor)

    def close(self) -> None:
        """Let everything go."""
        for name in tuple(self._networks):
            self.remove(name)
        while self._pool:
            os.close(self._pool.popleft())
        os.close(self.home)

    def __contains__(self, name: object) -> bool:
        return name in self._networks

    def __iter__(self) -> Iterator[NetnsName]:
        return iter(tuple(self._networks))

    def network(self, name: NetnsName) -> int:
        """Return the descriptor of ``name``; DriverError when there is no such namespace."""
        try:
            return self._networks[name]
        except KeyError:
            raise DriverError(f"there is no namespace {name}") from None

    def hold(self, name: NetnsName) -> int:
        """Return a descriptor of ``name`` that the caller closes; until then the namespace lives on.

        The namespace's own descriptor may be closed, and its number mean another one, at any time.
        """
        return os.dup(self.network(name))

    def hold_owner(self, name: NetnsName) -> int | None:
        """Return a descriptor of the user namespace that owns ``name``, which the caller closes.

        None when it is not delegated.
        """
        owner = self._owners.get(name)
        return None if owner is None else os.dup(owner)

    def path(self, name: NetnsName) -> str:
        """Return a path to the namespace for programs of this world (crun, nsenter, ``ip``)."""
        return f"/proc/{os.getpid()}/fd/{self.network(name)}"

    @contextmanager
    def inside(self, name: NetnsName) -> Iterator[None]:
        """Run the block with the calling thread in ``name``; other threads stay where they are."""
        with kernel.inside(self.network(name), home=self.home):
            yield

    def open_socket(self, name: NetnsName, kind: socket.SocketKind) -> socket.socket:
        """Make an IPv4 socket that lives in ``name``."""
        with self.inside(name):
            return socket.socket(socket.AF_INET, kind)

    def routes(self, name: NetnsName) -> Netlink:
        """Return the rtnetlink socket of ``name``, made on first use."""
        known = self._routes.get(name)
        if known is None:
            with self.inside(name):
                known = self._routes[name] = Netlink(NETLINK_ROUTE)
        return known

    def wants_refill(self) -> bool:
        """Return whether half of the pool is used up."""
        return len(self._pool) < self._pool_size / 2

    def refill(self) -> None:
        """Prepare namespaces until the pool is full; from any thread, safe beside ``create``."""
        while len(self._pool) < self._pool_size:
            network = self._fresh()
            with self._pool_lock:
                self._pool.append(network)

    def _fresh(self) -> int:
        """Make a namespace that is ready for links: the calling thread visits it and comes back."""
        try:
            kernel.unshare(kernel.CLONE_NEWNET)
            network = kernel.open_own_network()
            try:
                write_settings(_COMMON)
                raise_loopback()
            except OSError:
                os.close(network)
                raise
        finally:
            kernel.setns(self.home, kernel.CLONE_NEWNET)
        return network

    def _delegated(self) -> tuple[int, int]:
        """Make a user namespace and a network namespace that it owns, ready for links.

        A process with threads cannot enter a user namespace, so a small program does, and waits until we hold
        both.
        """
        program = shutil.which("unshare")
        if program is None:
            raise DriverError("unshare is not installed. See: fogbank doctor")
        command = [program, "--user", "--net", "cat"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as child:
            if child.stdin is None or child.stdout is None:
                raise ValueError("it has pipes")
            child.stdin.write(b"\n")
            if not child.stdout.read(1):
                raise DriverError("a user namespace cannot be made; the machine's log may say why")
            lines = "".join(f"{inside} {outside} {size}\n" for inside, outside, size in self._ids)
            for name in ("uid_map", "gid_map"):
                Path(f"/proc/{child.pid}/{name}").write_text(lines)
            held: list[int] = []
            try:
                for name in ("user", "net"):
                    held.append(kernel.open_namespace(child.pid, name))  # noqa: PERF401 - some may be open
                with kernel.inside(held[1], home=self.home):
                    write_settings(_COMMON)
                    raise_loopback()
            except OSError:
                for descriptor in held:
                    os.close(descriptor)
                raise
            child.stdin.close()
        return held[0], held[1]


def raise_loopback() -> None:
    """Bring up ``lo`` of the calling thread's network namespace."""
    link = Netlink(NETLINK_ROUTE)
    try:
        link.ask(rtnetlink.set_up(rtnetlink.LOOPBACK))
    finally:
        link.close()


def write_settings(settings: Mapping[str, str]) -> None:
    """Write kernel settings of the calling thread's network namespace, each in one call.

    A kernel without IPv6 has no such files; everything else must be there.
    """
    for name, value in settings.items():
        if name.startswith("ipv6/") and not _HAS_IPV6:
            continue
        descriptor = os.open(_NET + name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)
