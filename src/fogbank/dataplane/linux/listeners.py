"""Listeners: sockets that are opened in a namespace and handed to the program that serves them."""

import socket
from collections.abc import Callable, Mapping, Sequence

from fogbank.dataplane.linux.groups import Errors, one_by_one
from fogbank.dataplane.linux.net.namespaces import NetworkNamespaces
from fogbank.network.topology import Element, Key, Listener, NetnsName
from fogbank.planning.plan import Action

Serve = Callable[[Listener, socket.socket], None]
Unserve = Callable[[Listener], None]

_BACKLOG = 1024


class Listeners:
    """The listeners of one world. ``serve`` owns the socket that it is given; ``unserve`` must close it."""

    kinds = (Listener,)

    def __init__(self, namespaces: NetworkNamespaces, serve: Serve, unserve: Unserve) -> None:
        self._namespaces = namespaces
        self._serve, self._unserve = serve, unserve
        self._open: dict[Key, Listener] = {}

    def apply(self, actions: Sequence[Action]) -> Errors:
        """Open and close."""
        return one_by_one({Listener: self}, actions)

    def observe(self) -> Mapping[Key, Element]:
        """Return the listeners that are open."""
        return self._open

    def forget(self, netns: NetnsName) -> None:
        """Close the listeners of ``netns``."""
        for listener in [each for each in self._open.values() if each.netns == netns]:
            self.remove(listener)

    def close(self) -> None:
        """Close every listener."""
        for listener in tuple(self._open.values()):
            self.remove(listener)

    def create(self, element: Listener) -> None:
        """Open a socket and hand it over."""
        kind = socket.SOCK_STREAM if element.protocol == "tcp" else socket.SOCK_DGRAM
        opened = self._namespaces.open_socket(element.netns, kind)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind((str(element.address), element.port))
            if kind is socket.SOCK_STREAM:
                opened.listen(_BACKLOG)
            opened.setblocking(False)
            self._serve(element, opened)
        except BaseException:
            opened.close()
            raise
        self._open[element.key] = element

    def replace(self, old: Listener, new: Listener) -> None:
        """Close the old socket and open the new one."""
        self.remove(old)
        self.create(new)

    def remove(self, element: Listener) -> None:
        """Have the socket closed."""
        if self._open.pop(element.key, None) is not None:
            self._unserve(element)
