"""What one namespace's kernel tables hold: links, addresses, routes and token buckets, read in five dumps."""

from collections.abc import Callable
from typing import TypeVar

from fogbank.dataplane.linux.net import rtnetlink
from fogbank.dataplane.linux.net.netlink import Message, Netlink

T = TypeVar("T")


class KernelTables:
    """The tables as they were when this was made; interfaces by their index."""

    def __init__(self, link: Netlink) -> None:
        self.links = {each.index: each for each in read(link, rtnetlink.list_links(), rtnetlink.parse_link)}
        self.addresses = set(read(link, rtnetlink.list_addresses(), rtnetlink.parse_address))
        routes = read(link, rtnetlink.list_routes(), rtnetlink.parse_route)
        self.routes = {(route.table, route.destination): route for route in routes if route}
        self.tables = set(read(link, rtnetlink.list_rules(), rtnetlink.parse_rule))
        self.rates = dict(filter(None, read(link, rtnetlink.list_qdiscs(), rtnetlink.parse_bucket)))


def read(link: Netlink, request: Message, parse: Callable[[bytes], T]) -> list[T]:
    """Read a whole table, each row by ``parse``."""
    return [parse(payload) for _, payload in link.dump(request)]
