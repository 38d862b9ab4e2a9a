"""What an instance of a revision or of a task is: its containers and its ways out, decided when it starts.

What a container finds in its environment is Google's contract
(https://cloud.google.com/run/docs/container-contract#env-vars). A revision never changes what it runs, so an
instance keeps what was read at its start.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

from fogbank.network.addressing import ANYWHERE, PRIVATE_RANGES
from fogbank.resources.fleet import (
    Attachment,
    ConnectorAttachment,
    Container,
    FabricAttachment,
    Instance,
    SubnetworkAttachment,
)
from fogbank.resources.names import ResourceName
from fogbank.resources.run import Egress, Revision, read_revision
from fogbank.resources.run_jobs import Execution, read_execution
from fogbank.resources.vpcaccess import read_connector
from fogbank.resources.world import Resource, World

Runs = Revision | Execution
"""What instances are made for: both say which container runs, and which way out it has."""


@dataclass(frozen=True, slots=True)
class TaskPlace:
    """Which task an instance runs, and the how manieth attempt of it, both from 0."""

    index: int
    attempt: int


def instance_of(identifier: str, revision: Resource, index: int, pool: int) -> Instance:
    """Make an instance of ``revision`` at place ``index`` of the fabric; ``pool`` as in FabricAttachment."""
    read = read_revision(revision)
    return Instance(
        identifier,
        revision.name,
        revision,
        _attachments(read, index, pool),
        _containers(read, _given_to(read), (read.port,)),
    )


def task_instance(identifier: str, execution: Resource, task: TaskPlace, index: int, pool: int) -> Instance:
    """Make an instance that runs one attempt of a task at place ``index`` of the fabric."""
    read = read_execution(execution)
    return Instance(
        identifier,
        execution.name,
        execution,
        _attachments(read, index, pool),
        _containers(read, _given_to_task(read, task), ()),
    )


def with_pool(instance: Instance, pool: int) -> Instance:
    """Deal ``instance`` another address of the egress pool."""
    attachments = tuple(
        replace(each, pool=pool) if isinstance(each, FabricAttachment) else each
        for each in instance.attachments
    )
    return replace(instance, attachments=attachments)


def with_address(instance: Instance, network: ResourceName, address: IPv4Address, *, nat: bool) -> Instance:
    """Plug ``instance``, whose revision has Direct VPC egress, into ``network`` with its own ``address``."""
    revision = read_revision(instance.definition)
    if revision.direct_vpc is None:
        raise ValueError(f"{revision.name} has no Direct VPC egress")
    attachment = SubnetworkAttachment(
        network,
        revision.direct_vpc.subnetwork,
        address,
        revision.direct_vpc.tags,
        _to_vpc(revision.egress),
        nat,
    )
    return replace(instance, attachments=(*instance.attachments, attachment))


def subnetworks_of(instance: Instance) -> Iterator[ResourceName]:
    """List the subnetworks in which ``instance`` has an address of its own."""
    return (each.subnetwork for each in instance.attachments if isinstance(each, SubnetworkAttachment))


def network_of(world: World, instance: Instance) -> ResourceName | None:
    """Tell which VPC network ``instance`` has a way into; None when it has none, or its connector is gone."""
    for each in instance.attachments:
        if isinstance(each, ConnectorAttachment):
            found = world.find(each.connector)
            return read_connector(found).network if found else None
        if isinstance(each, SubnetworkAttachment):
            return each.network
    return None


def _attachments(runs: Runs, index: int, pool: int) -> tuple[Attachment, ...]:
    """List the ways out that need nothing of a network; Direct VPC egress gets its own by an address."""
    direct = isinstance(runs, Revision) and runs.direct_vpc is not None
    if runs.connector is None and not direct:
        return (FabricAttachment(index, pool, (ANYWHERE,)),)
    to_vpc = _to_vpc(runs.egress)
    fabric = FabricAttachment(index, pool, () if ANYWHERE in to_vpc else (ANYWHERE,))
    return (fabric, ConnectorAttachment(runs.connector, to_vpc)) if runs.connector else (fabric,)


def _to_vpc(egress: Egress) -> tuple[IPv4Network, ...]:
    match egress:
        case Egress.ALL_TRAFFIC:
            return (ANYWHERE,)
        case Egress.PRIVATE_RANGES_ONLY:
            return PRIVATE_RANGES


def _given_to(revision: Revision) -> dict[str, str]:
    return {
        "PORT": str(revision.port),
        "K_SERVICE": revision.service.id,
        "K_REVISION": revision.name.id,
        "K_CONFIGURATION": revision.service.id,
    }


def _given_to_task(execution: Execution, task: TaskPlace) -> dict[str, str]:
    return {
        "CLOUD_RUN_JOB": execution.job.id,
        "CLOUD_RUN_EXECUTION": execution.name.id,
        "CLOUD_RUN_TASK_INDEX": str(task.index),
        "CLOUD_RUN_TASK_ATTEMPT": str(task.attempt),
        "CLOUD_RUN_TASK_COUNT": str(execution.tasks),
    }


def _containers(runs: Runs, given: dict[str, str], ports: tuple[int, ...]) -> tuple[Container, ...]:
    """List the containers of an instance; none until its image is resolved."""
    if runs.digest is None:
        return ()
    return (
        Container(
            image=runs.digest.rpartition("@")[2],
            ports=ports,
            command=runs.command,
            arguments=runs.args,
            environment=tuple((dict(runs.environment) | given).items()),
            cpu_millis=runs.cpu_millis,
            memory_bytes=runs.memory_bytes,
            memory_limit=runs.memory_bytes,
        ),
    )
