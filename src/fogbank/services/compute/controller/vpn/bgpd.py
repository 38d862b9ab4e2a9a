"""Talks to FRR's daemons over their Unix sockets, as vtysh does. It blocks: call it in a thread."""

import json
import socket
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from fogbank.errors import DriverError
from fogbank.services.compute.controller.vpn.bgp_configuration import (
    Configuration,
    Heard,
    Neighbor,
    configuration,
    heard,
    steps,
)
from fogbank.services.compute.controller.vpn.program import BGPD_SOCKET, ZEBRA_SOCKET
from fogbank.unix_sockets import address_of

SECONDS = 10.0
"""How long one command may take."""
IDLE_LOOKS = 10
"""For so many looks a peer may be idle before its pause is cut short."""


class Vty:
    """A connection to the daemon whose socket is at ``path``; DriverError when it does not answer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(SECONDS)
        try:
            with address_of(path) as address:
                self._socket.connect(address)
            self.say("enable")
        except (OSError, DriverError) as error:
            self._socket.close()
            raise self._gone(error) from error

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def say(self, line: str, *, must: bool = True) -> str:
        """Give one line and return what it prints; DriverError when it ``must`` succeed and does not."""
        try:
            self._socket.sendall(line.encode() + b"\0")
            answer = b""
            # An answer ends with three zeros and the line's status.
            while not (len(answer) >= 4 and answer[-4:-1] == bytes(3)):
                part = self._socket.recv(1 << 16)
                if not part:
                    raise self._gone("it closed the connection")
                answer += part
        except OSError as error:
            raise self._gone(error) from error
        text = answer[:-4].decode(errors="replace")
        if answer[-1] and must:
            word = line if "password" not in line else line.partition("password")[0]
            raise DriverError(f"{self._path.stem} refuses {word!r}: {text.strip() or answer[-1]}")
        return text

    def configure(self, lines: Iterable[str], *, must: bool = True) -> None:
        """Give lines of a configuration, each in the context that the one before opened."""
        self.say("configure terminal")
        try:
            for line in lines:
                self.say(line, must=must)
        finally:
            self.say("end")

    def _gone(self, why: object) -> DriverError:
        return DriverError(f"the daemon at {self._path} does not answer: {why}")


@dataclass
class Spoken:
    """What a bgpd was told, and for how many looks each peer has been idle."""

    configuration: Configuration = ()
    idle: Counter[IPv4Address] = field(default_factory=Counter)


def speak(
    folder: Path, router: IPv4Address, neighbors: tuple[Neighbor, ...], spoken: Spoken
) -> Mapping[IPv4Address, Heard]:
    """Have a bgpd with the id ``router`` talk with ``neighbors``; return what it says of each.

    One that has waited long is tried again: bgpd itself pauses longer after each failure, up to two minutes.
    """
    wanted = configuration(router, neighbors)
    vty = Vty(folder / BGPD_SOCKET)
    try:
        for lines, must in steps(spoken.configuration, wanted):
            vty.configure(lines, must=must)
        spoken.configuration = wanted
        if not neighbors:
            return {}
        summary = json.loads(vty.say("show bgp ipv4 unicast summary json"))
        table = json.loads(vty.say("show bgp ipv4 unicast json"))
        said = heard(summary, table)
        for each in neighbors:
            if each.enabled and each.address in said and said[each.address].state == "Idle":
                spoken.idle[each.address] += 1
                if spoken.idle[each.address] % IDLE_LOOKS == 0:
                    vty.say(f"clear bgp ipv4 unicast {each.address}")
            else:
                del spoken.idle[each.address]
    finally:
        vty.close()
    return said


def give_addresses(folder: Path, addresses: Iterable[IPv4Interface]) -> None:
    """Have zebra put addresses on the tunnels' device, so that it routes to peers there."""
    vty = Vty(folder / ZEBRA_SOCKET)
    try:
        for each in addresses:
            vty.configure(("interface ipsec0", f"ip address {each}"))
    finally:
        vty.close()
