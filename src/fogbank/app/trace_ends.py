"""Ends of a path that have names: machines, Redis and Cloud SQL as destinations, and who sends from outside.

A person writes ``compute/vm:22``, ``redis/cache`` or ``sql/db`` (``API/PROJECT/NAME`` for another project's),
and as a source ``internet`` or a third party's host. The surprising fact: from outside a machine is its
external address, from inside its internal one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from fogbank.control.controller import TraceSource
from fogbank.errors import OperatorError
from fogbank.lowering.netns_names import site_netns
from fogbank.paths.remedies import ANYBODY_IN_THE_INTERNET, Remedy
from fogbank.resources.instances import INSTANCES, VirtualMachine
from fogbank.resources.names import ResourceName
from fogbank.resources.sites import find_site, site_name, sites
from fogbank.resources.world import Resource, World

ANYBODY = "internet"
_POSTGRES = 5432
_Found = tuple[IPv4Address, int | None]


class NoExternalAddressError(OperatorError):
    """A machine that somebody outside asks for has no external address; ``remedy`` gives it one."""

    def __init__(self, remedy: Remedy) -> None:
        super().__init__(f"{remedy.sentence} Give it one: {remedy.command}")
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class NamedEnds:
    """Finds ends in ``world``; names without a project are those of ``project``."""

    world: World
    project: str

    def outside(self, asked: str) -> TraceSource | None:
        """Find who sends from outside the region's networks: ``internet`` or a third party."""
        if asked == ANYBODY:
            place = site_netns(sites(self.world)[0].host)  # one host stands for all that nobody knows
            return TraceSource(ANYBODY, place, ResourceName(ANYBODY_IN_THE_INTERNET, ANYBODY))
        site = find_site(self.world, asked) if "/" not in asked else None
        return TraceSource(site.host, site_netns(site.host), site_name(site.host)) if site else None

    def destination(self, asked: str, *, outside: bool) -> tuple[IPv4Address, int] | None:
        """Read ``API/NAME:PORT``; None when it is something else.

        OperatorError when there is no such thing.
        """
        api, _, rest = asked.partition("/")
        if api not in _KINDS or "//" in asked:
            return None
        rest, _, port = rest.partition(":")
        project, _, name = rest.rpartition("/")
        collection, address_of = _KINDS[api]
        address, usual = address_of(self._named(api, collection, project or self.project, name), outside)
        if port and not port.isdecimal():
            raise OperatorError(f"{asked}: {port} is no port.")
        if not port and usual is None:
            raise OperatorError(f"{asked}: which port? Name it: {asked}:22")
        return address, int(port or usual or 0)

    def _named(self, api: str, collection: str, project: str, name: str) -> Resource:
        every = [each for each in self.world.all(collection) if each.name.project == project]
        found = [each for each in every if each.name.id == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise OperatorError(f"{api}/{name} is in more than one place. Give its address.")
        known = ", ".join(sorted(f"{api}/{each.name.id}" for each in every)) or "none"
        raise OperatorError(f"There is no {api}/{name} in the project {project}. There are: {known}.")


def _machine(resource: Resource, outside: bool) -> _Found:
    machine = VirtualMachine.of(resource)
    nic = machine.interfaces[0]
    if not outside:
        return nic.address, None
    if nic.external is None:
        sentence = f"{machine.name.id} has no external address, so nothing from the internet reaches it."
        command = (
            f"gcloud compute instances add-access-config {machine.name.id} --project={machine.name.project} "
            f"--zone={machine.zone}"
        )
        remedy = Remedy("NO_EXTERNAL_ADDRESS", "internet", machine.name.path, sentence, command)
        raise NoExternalAddressError(remedy)
    return nic.external, None


def _redis(resource: Resource, _outside: bool) -> _Found:
    if not resource.body.get("host"):
        raise OperatorError(f"{resource.name.path} has no address yet.")
    return IPv4Address(resource.body["host"]), int(resource.body["port"])


def _sql(resource: Resource, _outside: bool) -> _Found:
    private = [e["ipAddress"] for e in resource.body.get("ipAddresses", ()) if e["type"] == "PRIVATE"]
    if not private:
        raise OperatorError(
            f"{resource.name.path} has no private address: no packet of a network goes there."
        )
    return IPv4Address(private[0]), _POSTGRES


_KINDS: Mapping[str, tuple[str, Callable[[Resource, bool], _Found]]] = {
    "compute": (INSTANCES, _machine),
    "redis": ("redis.instances", _redis),
    "sql": ("sqladmin.instances", _sql),
    "sqladmin": ("sqladmin.instances", _sql),
}
