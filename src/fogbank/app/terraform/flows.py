"""Flows: which packets arrive in one World and in another, by the names of their ends.

A flow begins at a virtual machine, at an instance of a Cloud Run service, or in the internet, and goes to a
machine, a Redis instance or a third party. An end has the same name in both Worlds, whatever its address is.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import IPv4Address

from fogbank.app.features import features
from fogbank.lowering.compiler import Compiler
from fogbank.lowering.netns_names import INTERNET, instance_netns
from fogbank.network.topology import NetnsName, Topology
from fogbank.paths.predict import predict_all
from fogbank.paths.trace import Delivered, Dropped, Flow, Trace
from fogbank.resources.compute import Subnetwork
from fogbank.resources.direct_vpc import rules_of
from fogbank.resources.fleet import Fleet, Instance
from fogbank.resources.instances import INSTANCES, VirtualMachine
from fogbank.resources.run import REVISIONS, SERVICES, read_revision, revision_name
from fogbank.resources.sites import sites
from fogbank.resources.vpcaccess import AUTOMATIC
from fogbank.resources.world import Resource, World
from fogbank.services.run.addresses import Wanted, allocate
from fogbank.services.run.instances import instance_of, with_address

PORTS = (22, 80, 443)
"""What is asked of a machine, beside the ports that firewall rules name."""

MOST_PORTS = 8

_POOL = 7
_FIRST_PLACE = 1000
"""Where in the serverless fabric the instances are that only a preview knows."""


@dataclass(frozen=True, slots=True)
class NamedFlow:
    """From an end to another: ``compute/vm``, ``run/web``, ``redis/cache``, a host or ``internet``."""

    source: str
    destination: str
    port: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a flow: it ``arrives`` in every way that it may take, or not; ``how`` says more."""

    arrives: bool
    how: str


Verdicts = Mapping[NamedFlow, Verdict]


def verdicts(
    world: World, fleet: Fleet, observed: Topology, now: datetime, asked: Iterable[NamedFlow] = ()
) -> Verdicts:
    """Predict ``asked``, or every pair of ends that ``world`` has; what has no such end has no verdict.

    ``observed`` is the network as it is: who has ports there keeps them.
    """
    shown = _with_services(world, fleet, now)
    topology = Compiler(features()).compile(shown.world, shown.fleet, observed).topology
    starts, ends = dict(_starts(shown)), dict(_ends(world))
    wanted = list(asked) or list(_pairs(starts, ends, _ports(world)))
    flows = {
        each: Flow(starts[each.source], ends[each.destination].address, each.port)
        for each in wanted
        if each.source in starts and each.destination in ends
    }
    traces = predict_all(topology, flows.values())
    return {each: _verdict(trace) for each, trace in zip(flows, traces, strict=True)}


def names(world: World, fleet: Fleet, now: datetime) -> list[str]:
    """List what a flow can begin or end at."""
    return sorted({*dict(_starts(_with_services(world, fleet, now))), *dict(_ends(world))})


@dataclass(frozen=True, slots=True)
class _Shown:
    world: World
    fleet: Fleet
    services: Mapping[str, Instance]


@dataclass(frozen=True, slots=True)
class _End:
    """An address that is asked for: by whom, and at ports of its own when there are any."""

    address: IPv4Address
    public: bool
    ports: tuple[int, ...] = ()


def _with_services(world: World, fleet: Fleet, now: datetime) -> _Shown:
    """Let one instance of each service's newest revision run, at an address if it has Direct VPC egress."""
    others = {key: each for key, each in fleet.instances.items() if each.owner.collection != REVISIONS}
    made: dict[str, Instance] = {}
    for place, service in enumerate(world.all(SERVICES), start=_FIRST_PLACE):
        newest = service.body["status"].get("latestCreatedRevisionName")
        revision = world.find(revision_name(service.name, newest)) if newest else None
        if revision is not None:
            world, instance = _placed(world, revision, place, now)
            made[f"run/{service.name.id}"] = instance
    return _Shown(world, Fleet(others | {each.id: each for each in made.values()}), made)


def _placed(world: World, revision: Resource, place: int, now: datetime) -> tuple[World, Instance]:
    instance = replace(instance_of(f"{revision.name.id}-preview", revision, place, _POOL), containers=())
    direct = read_revision(revision).direct_vpc
    if direct is None:
        return world, instance
    rules = rules_of(world)
    given = allocate(world, [Wanted(instance.id, revision.name, direct.subnetwork)], rules, now)
    address = given.addresses.get(instance.id)
    if address is None:
        return world, instance
    network = Subnetwork.of(world.get(direct.subnetwork)).network
    return world.after(given.changes), with_address(instance, network, address, nat=rules.nat)


def _starts(shown: _Shown) -> Iterator[tuple[str, NetnsName]]:
    for resource in shown.world.all(INSTANCES):
        machine = VirtualMachine.of(resource)
        if machine.powered:
            yield f"compute/{machine.name.id}", instance_netns(machine.machine)
    for name, instance in shown.services.items():
        yield name, instance_netns(instance.id)
    yield "internet", INTERNET


def _ends(world: World) -> Iterator[tuple[str, _End]]:
    for resource in world.all(INSTANCES):
        machine = VirtualMachine.of(resource)
        for interface in machine.interfaces[:1] if machine.powered else ():
            yield f"compute/{machine.name.id}", _End(interface.address, public=False)
            if interface.external is not None:
                yield f"compute/{machine.name.id} (external address)", _End(interface.external, public=True)
    for resource in world.all("redis.instances"):
        if resource.body.get("host"):
            end = _End(IPv4Address(resource.body["host"]), public=False, ports=(int(resource.body["port"]),))
            yield f"redis/{resource.name.id}", end
    first, *others = sites(world)  # the built-in ones differ by nothing that a path depends on
    for site in (first, *(each for each in others if each.kind == "partner")):
        yield site.host, _End(site.address, public=True, ports=site.all_ports)


def _pairs(
    starts: Mapping[str, NetnsName], ends: Mapping[str, _End], ports: tuple[int, ...]
) -> Iterator[NamedFlow]:
    """List every start with every end; from the internet only machines with external addresses are asked."""
    for source in starts:
        for name, end in ends.items():
            if name == source or (source == "internet" and not (end.public and name.startswith("compute/"))):
                continue
            for port in end.ports or ports:
                yield NamedFlow(source, name, port)


def _ports(world: World) -> tuple[int, ...]:
    """List the single TCP ports that firewall rules name, with the usual ones first."""
    named = {
        int(port)
        for rule in world.all("compute.firewalls")
        if AUTOMATIC not in rule.private  # a connector made it for itself
        for kind in ("allowed", "denied")
        for each in rule.body.get(kind, ())
        if each["IPProtocol"] in {"tcp", "6"}
        for port in each.get("ports", ())
        if port.isdecimal()
    }
    return (*PORTS, *sorted(named - set(PORTS)))[:MOST_PORTS]


def _verdict(trace: Trace) -> Verdict:
    """Say how a flow ends; a port on which nothing listens is reached, too."""
    drops = [b.disposition.cause for b in trace.branches if isinstance(b.disposition, Dropped)]
    if drops:
        return Verdict(arrives=False, how=" or ".join(dict.fromkeys(drops)))
    if all(isinstance(branch.disposition, Delivered) for branch in trace.branches):
        return Verdict(arrives=True, how=f"from {' or '.join(map(str, sorted(trace.sources)))}")
    return Verdict(arrives=True, how="handed over to an instance that forwards")


@dataclass(frozen=True, slots=True)
class Difference:
    """A flow that an apply changes; None where its ends are not there."""

    flow: NamedFlow
    before: Verdict | None
    after: Verdict | None

    @property
    def kind(self) -> str:
        """Return ``breaks``, ``appears`` or ``changes`` (it arrives, but with another source)."""
        was, will = (each is not None and each.arrives for each in (self.before, self.after))
        return "changes" if was and will else "breaks" if was else "appears"


def differences(before: Verdicts, after: Verdicts) -> tuple[Difference, ...]:
    """List the flows that arrive in one of two Worlds only, or otherwise."""
    flows = dict.fromkeys((*before, *after))
    found = (Difference(each, before.get(each), after.get(each)) for each in flows)
    return tuple(
        each
        for each in found
        if each.before != each.after
        and any(verdict is not None and verdict.arrives for verdict in (each.before, each.after))
    )
