"""The fleet: what runs now because a controller decided it, which no client made and nothing stores.

An instance says everything that lowering needs: who waits for it, where it is attached, and which containers
run in it. So one of Cloud Run, a job, a virtual machine and a pod differ in what a controller writes here and
not in how they are built. After a restart the controllers decide anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from fogbank.network.elements import DataFolder, Machine, Mount, VolumeFile
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Resource


@dataclass(frozen=True, slots=True)
class FabricAttachment:
    """A place in the serverless fabric: ``index`` (1 …) gives the address.

    Packets for ``destinations`` leave with address number ``pool`` of the egress pool; without any, the
    fabric only delivers requests, the metadata server and the resolver.
    """

    index: int
    pool: int
    destinations: tuple[IPv4Network, ...] = ()


@dataclass(frozen=True, slots=True)
class ConnectorAttachment:
    """Packets for ``destinations`` go to the Serverless VPC Access ``connector``."""

    connector: ResourceName
    destinations: tuple[IPv4Network, ...]


@dataclass(frozen=True, slots=True)
class SubnetworkAttachment:
    """Packets for ``destinations`` leave by an interface with ``address`` in a ``subnetwork`` of ``network``.

    Egress rules, routes and source tags choose it by its network ``tags``. Cloud NAT translates it unless
    ``nat`` is False.
    """

    network: ResourceName
    subnetwork: ResourceName
    address: IPv4Address
    tags: tuple[str, ...]
    destinations: tuple[IPv4Network, ...]
    nat: bool = True


Attachment = FabricAttachment | ConnectorAttachment | SubnetworkAttachment
"""Every way in which an instance is plugged into a network."""


@dataclass(frozen=True, slots=True)
class Container:
    """One container of an instance; ``image`` is a manifest digest in the region's store.

    ``name`` is empty when the instance has no other. Empty ``command`` or ``arguments`` take the image's.
    ``data`` are folders that outlive it. ``secrets`` are variables that are never shown, ``mounts`` name
    volumes of the instance, ``hosts`` are names of its loopback. An empty ``folder`` takes the image's.
    ``memory_bytes`` are for its files, ``memory_limit`` for them and its processes; None when these hold to
    something by themselves. ``machine`` makes it a virtual machine; a ``router`` may change its own network.
    """

    image: str
    ports: tuple[int, ...]
    name: str = ""
    command: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    cpu_millis: int = 1000
    memory_bytes: int = 512 * 1024 * 1024
    memory_limit: int | None = None
    data: tuple[DataFolder, ...] = ()
    secrets: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    mounts: tuple[Mount, ...] = ()
    hosts: tuple[str, ...] = ()
    folder: str = ""
    machine: Machine | None = None
    router: bool = False


@dataclass(frozen=True, slots=True)
class InstanceVolume:
    """A file system in memory that the containers of an instance share; with ``files`` it only has these."""

    name: str
    size_bytes: int
    files: tuple[VolumeFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Instance:
    """A running copy of ``definition``, which is kept as it was at the start: here it outlives a deletion.

    ``owner`` is the resource that waits for it. One that is ``ending`` was told so: its containers are to
    end, and it keeps its attachments and volumes until they have.
    """

    id: str
    owner: ResourceName
    definition: Resource
    attachments: tuple[Attachment, ...] = ()
    containers: tuple[Container, ...] = ()
    ending: bool = False
    volumes: tuple[InstanceVolume, ...] = ()

    @property
    def fabric(self) -> FabricAttachment:
        """Its place in the serverless fabric; LookupError when it has none."""
        for each in self.attachments:
            if isinstance(each, FabricAttachment):
                return each
        raise LookupError(f"instance {self.id} has no place in the serverless fabric")


@dataclass(frozen=True, slots=True)
class Fleet:
    """The instances that should run now, by id."""

    instances: Mapping[str, Instance] = field(default_factory=dict)
