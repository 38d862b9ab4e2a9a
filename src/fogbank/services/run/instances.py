"""What an instance of a revision or of a task is: its containers and its ways out, decided when it starts.

A revision never changes what it runs, so an instance keeps what was read at its start.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from types import MappingProxyType

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
from fogbank.resources.run_jobs import EXECUTIONS, Execution, read_execution
from fogbank.resources.vpcaccess import read_connector
from fogbank.resources.world import Resource, World
from fogbank.services.run.instance_containers import (
    containers_of,
    hidden_variables,
    mounts_of,
    volumes_of,
)
from fogbank.services.run.secrets import Values

_NO_SECRETS: Values = MappingProxyType({})

Runs = Revision | Execution
"""What instances are made for: both say which container runs, and which way out it has."""


@dataclass(frozen=True, slots=True)
class TaskPlace:
    """Which task an instance runs, and the how manieth attempt of it, both from 0."""

    index: int
    attempt: int


def instance_of(
    identifier: str, revision: Resource, index: int, pool: int, secrets: Values = _NO_SECRETS
) -> Instance:
    """Make an instance of ``revision`` at place ``index`` of the fabric; ``pool`` as in FabricAttachment.

    It has all its containers; which of them may run at first is for ``instance_containers.startable``.
    """
    read = read_revision(revision)
    return Instance(
        identifier,
        revision.name,
        revision,
        _attachments(read, index, pool),
        containers_of(read, secrets),
        volumes=volumes_of(read, secrets),
    )


def task_instance(
    identifier: str,
    execution: Resource,
    task: TaskPlace,
    index: int,
    pool: int,
    *,
    secrets: Values = _NO_SECRETS,
) -> Instance:
    """Make an instance that runs one attempt of a task at place ``index`` of the fabric."""
    read = read_execution(execution)
    return Instance(
        identifier,
        execution.name,
        execution,
        _attachments(read, index, pool),
        _task_containers(read, _given_to_task(read, task), secrets),
        volumes=volumes_of(read, secrets),
    )


def with_pool(instance: Instance, pool: int) -> Instance:
    """Deal ``instance`` another address of the egress pool."""
    attachments = tuple(
        replace(each, pool=pool) if isinstance(each, FabricAttachment) else each
        for each in instance.attachments
    )
    return replace(instance, attachments=attachments)


def with_address(instance: Instance, network: ResourceName, address: IPv4Address, *, nat: bool) -> Instance:
    """Plug ``instance``, which has Direct VPC egress, into ``network`` with its own ``address``."""
    runs = _read(instance.definition)
    if runs.direct_vpc is None:
        raise ValueError(f"{runs.name} has no Direct VPC egress")
    attachment = SubnetworkAttachment(
        network,
        runs.direct_vpc.subnetwork,
        address,
        runs.direct_vpc.tags,
        _to_vpc(runs.egress),
        nat,
    )
    return replace(instance, attachments=(*instance.attachments, attachment))


def _read(definition: Resource) -> Runs:
    if definition.name.collection == EXECUTIONS:
        return read_execution(definition)
    return read_revision(definition)


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
    if runs.connector is None and runs.direct_vpc is None:
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


def _given_to_task(execution: Execution, task: TaskPlace) -> dict[str, str]:
    return {
        "CLOUD_RUN_JOB": execution.job.id,
        "CLOUD_RUN_EXECUTION": execution.name.id,
        "CLOUD_RUN_TASK_INDEX": str(task.index),
        "CLOUD_RUN_TASK_ATTEMPT": str(task.attempt),
        "CLOUD_RUN_TASK_COUNT": str(execution.tasks),
    }


def _task_containers(runs: Execution, given: dict[str, str], secrets: Values) -> tuple[Container, ...]:
    """List the containers of a task; none until its image is resolved."""
    if runs.digest is None:
        return ()
    (only,) = runs.containers
    return (
        Container(
            image=runs.digest.rpartition("@")[2],
            ports=(),
            command=runs.command,
            arguments=runs.args,
            environment=tuple((dict(only.environment) | given).items()),
            secrets=hidden_variables(only, secrets),
            mounts=mounts_of(only),
            folder=only.folder,
            cpu_millis=runs.cpu_millis,
            memory_bytes=runs.memory_bytes,
            memory_limit=runs.memory_bytes,
        ),
    )
