"""The way of this machine's clients onto the region's internet: names and connections."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address

from fogbank.lowering.netns_names import INTERNET
from fogbank.network.addressing import EXTERNAL_ADDRESSES, TERMINAL
from fogbank.network.topology import NetnsName
from fogbank.resources.dns import Answers, known

CONNECT_SECONDS = 10.0


class InternetAccess:
    """Resolves what is public by ``answers`` and connects with sockets of ``open_socket``."""

    def __init__(
        self, open_socket: Callable[[NetnsName, socket.SocketKind], socket.socket], answers: Answers
    ) -> None:
        self._open_socket, self._answers = open_socket, answers

    def resolve(self, host: str) -> IPv4Address | None:
        """Return what a name or an address means on the internet."""
        with suppress(ValueError):
            return IPv4Address(host)
        found = known(self._answers(TERMINAL, f"{host.lower().rstrip('.')}.", "A"))
        return next((IPv4Address(each.texts[0]) for each in found if each.type == "A"), None)

    def resolve_own(self, host: str) -> IPv4Address | None:
        """Return what a host means if that is an external address of this region; None otherwise."""
        found = self.resolve(host)
        return found if found is not None and found in EXTERNAL_ADDRESSES else None

    async def connect(
        self, address: IPv4Address, port: int, netns: NetnsName = INTERNET, source: IPv4Address = TERMINAL
    ) -> socket.socket:
        """Connect, from the terminal's address unless told otherwise; OSError or TimeoutError in vain."""
        opened = self._open_socket(netns, socket.SOCK_STREAM)
        try:
            opened.setblocking(False)
            opened.bind((str(source), 0))
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(opened, (str(address), port))
        except BaseException:
            opened.close()
            raise
        return opened
