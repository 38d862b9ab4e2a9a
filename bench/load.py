"""The load generator: a blocking client and a blocking server, each a process, each on a core of its own.

Baseline and subject are driven by the same two programs. A connection is opened, carries one byte each way,
and is closed in the ordinary manner, client first; their rate is that of the median one, because on a busy
machine the mean tells how often others ran. A round trip is one byte each way on an open connection.
Throughput is one connection's, in large writes.
"""

import contextlib
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median

from fogbank.dataplane.linux import kernel
from fogbank.dataplane.linux.driver import LinuxDriver
from fogbank.network.topology import NetnsName

PORT = 5000
CONNECTIONS = 600
ROUND_TRIPS = 1500
STREAM_SECONDS = 0.25
_BUFFER = 128 * 1024
_WARM = 50
_SINK = b"S"


@dataclass(frozen=True, slots=True)
class Way:
    """From a socket in ``start`` to a server on ``address`` in ``end``."""

    name: str
    start: NetnsName
    end: NetnsName
    address: str


@contextlib.contextmanager
def served(driver: LinuxDriver, ways: list[Way]) -> Iterator[None]:
    """Keep a server at the end of every way."""
    servers = []
    for end, address in {(way.end, way.address) for way in ways}:
        listening = driver.open_socket(end, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, PORT))
        listening.listen(1024)
        servers.append(_fork(partial(_serve, listening), core=-1))
        listening.close()
    try:
        yield
    finally:
        for pid in servers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def connections(driver: LinuxDriver, way: Way) -> float:
    """Connections per second, one after the other, at the pace of the median one."""
    return _client(driver, way, _connect_often)


def round_trip(driver: LinuxDriver, way: Way) -> float:
    """Microseconds of a round trip, median."""
    return _client(driver, way, _ping)


def throughput(driver: LinuxDriver, way: Way) -> float:
    """Gbit/s of one connection."""
    return _client(driver, way, _stream)


def _client(driver: LinuxDriver, way: Way, work: Callable[[str], float]) -> float:
    read, write = os.pipe()
    network = driver.namespaces.network(way.start)

    def measure() -> None:
        kernel.setns(network, kernel.CLONE_NEWNET)
        os.write(write, struct.pack("d", work(way.address)))

    pid = _fork(measure, core=0)
    os.close(write)
    data = os.read(read, 8)
    os.close(read)
    os.waitpid(pid, 0)
    if len(data) != 8:
        raise RuntimeError(f"nothing could be measured on the way '{way.name}'")
    return float(struct.unpack("d", data)[0])


def _fork(work: Callable[[], None], *, core: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        kernel.die_with_parent()
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[core]})
        work()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - the parent sees that nothing came
        os.write(2, f"{error!r}\n".encode())
        os._exit(1)


def _serve(listening: socket.socket) -> None:
    buffer = bytearray(_BUFFER)
    while True:
        connection, _ = listening.accept()
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while count := connection.recv_into(buffer):
                if buffer[:1] == _SINK:
                    while connection.recv_into(buffer):
                        pass
                    break
                connection.send(memoryview(buffer)[:count])


def _open(address: str) -> socket.socket:
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    connection.settimeout(5)
    connection.connect((address, PORT))
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _connect_often(address: str) -> float:
    clock = time.perf_counter
    times = []
    for _ in range(_WARM + CONNECTIONS):
        before = clock()
        with _open(address) as connection:
            connection.send(b"x")
            connection.recv(1)
        times.append(clock() - before)
    return 1 / median(times[_WARM:])


def _ping(address: str) -> float:
    clock = time.perf_counter
    times = []
    with _open(address) as connection:
        for _ in range(_WARM + ROUND_TRIPS):
            before = clock()
            connection.send(b"x")
            connection.recv(1)
            times.append(clock() - before)
    return median(times[_WARM:]) * 1e6


def _stream(address: str) -> float:
    block = _SINK * _BUFFER
    with _open(address) as connection:
        connection.sendall(block)
        sent, started = 0, time.perf_counter()
        while (took := time.perf_counter() - started) < STREAM_SECONDS:
            sent += connection.send(block)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
    return sent * 8 / took / 1e9
