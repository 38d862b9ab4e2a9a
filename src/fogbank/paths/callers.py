"""Whose a packet's source address is, after it has left: which VPC network translated it to that.

The ingress asks, to tell callers inside Google Cloud from those on the internet. A gateway's addresses
belong to one network, so the address says the network, though not the endpoint.
"""

from collections.abc import Callable, Mapping

from fogbank.network.topology import SourceNat, Topology

_VPC = "vpc/"


def vpc_projects(topology: Topology) -> Mapping[str, str]:
    """Return the project of the VPC network behind each address that Cloud NAT gives, as text."""
    return {
        str(address): _project(each.netns)
        for each in topology.of_kind(SourceNat)
        if each.netns.startswith(_VPC)
        for address in (*each.outsides, *each.draining)
    }


def _project(netns: str) -> str:
    return netns.removeprefix(_VPC).rpartition("/")[0]


class Callers:
    """Answers for the newest topology that was ``observed``; it is searched once for each."""

    def __init__(self, observed: Callable[[], Topology]) -> None:
        self._observed = observed
        self._known: tuple[Topology, Mapping[str, str]] | None = None

    def vpc_project(self, address: str) -> str | None:
        """Return the project whose network a caller with ``address`` is in; None for one from outside."""
        topology = self._observed()
        if self._known is None or self._known[0] is not topology:
            self._known = topology, vpc_projects(topology)
        return self._known[1].get(address)
