"""Sockets inside a container's network namespace, for attacks from where a tenant's code runs."""

import socket
import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import socket, sys
channel = socket.socket(fileno=0)
while kind := channel.recv(1):
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == b"d" else socket.SOCK_STREAM)
    socket.send_fds(channel, [kind], [made.fileno()])
    made.close()
"""


class Inside:
    """Makes sockets in the network namespace of the process ``pid``."""

    def __init__(self, pid: int) -> None:
        self._channel, theirs = socket.socketpair()
        command = ["nsenter", "-t", str(pid), "-n", sys.executable, "-c", _PROGRAM]
        if not Path("/proc/self/ns/user").samefile(f"/proc/{pid}/ns/user"):
            command[3:3] = ["-U", "--preserve-credentials"]
        self._helper = subprocess.Popen(command, stdin=theirs.fileno())
        theirs.close()

    def socket(self, *, datagrams: bool = False) -> socket.socket:
        self._channel.send(b"d" if datagrams else b"s")
        _, (number,), *_ = socket.recv_fds(self._channel, 1, 1)
        return socket.socket(fileno=number)

    def close(self) -> None:
        self._channel.close()
        self._helper.wait(10)
