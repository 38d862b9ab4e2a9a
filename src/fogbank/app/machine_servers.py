"""The metadata server and the resolver as virtual machines reach them: one of each in every VPC network.

A machine is known by its network and its address in it, so both are served for each listener apart.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address

from fogbank.frontend.iam.identity import Identity
from fogbank.lowering.netns_names import network_of_vpc_netns
from fogbank.network.topology import Listener
from fogbank.resources.decisions import Decision
from fogbank.resources.dns_queries import QueryLog
from fogbank.resources.instances import Disk, VirtualMachine, instance_at, project_metadata
from fogbank.resources.names import ResourceName
from fogbank.resources.projects import project_number
from fogbank.resources.world import Put, World
from fogbank.servers.dns import DnsServer, world_answers
from fogbank.servers.dns_forwarding import Forwarder
from fogbank.servers.listeners import Serve, http_server
from fogbank.servers.machine_metadata import MachineFacts
from fogbank.servers.metadata import Asking, metadata_application
from fogbank.services.compute.instances.guest_attributes import guest_attributes, with_guest_attribute
from fogbank.store.store import Store


class MachineServers:
    """Serves the listeners in VPC networks; metadata elsewhere are those of ``metadata``.

    ``network_of`` tells in which network a client of the resolver elsewhere sees names.
    """

    def __init__(
        self,
        store: Store,
        identity: Identity,
        *,
        metadata: Serve,
        network_of: Callable[[IPv4Address], ResourceName | None],
        queries: QueryLog,
        forwarder: Forwarder,
    ) -> None:
        self._store, self._identity = store, identity
        self._metadata, self._network_of, self._queries = metadata, network_of, queries
        self._forwarder = forwarder
        self._waiting: set[asyncio.Future[None]] = set()
        store.watch(self._tell_changed)

    async def serve_metadata(self, listener: Listener, opened: socket.socket) -> None:
        """Serve metadata to the machines of the listener's network."""
        network = network_of_vpc_netns(listener.netns)
        if network is None:
            await self._metadata(listener, opened)
            return
        asking = Asking(self._facts_in(network), self._changed, self._publish)
        await http_server(metadata_application(self._identity, asking))(listener, opened)

    async def serve_names(self, listener: Listener, opened: socket.socket) -> None:
        """Resolve names as the listener's network sees them."""
        network = network_of_vpc_netns(listener.netns)
        network_of = self._network_of if network is None else lambda _client: network
        answers = world_answers(lambda: self._store.world, network_of, self._queries.note)
        await DnsServer(answers, self._forwarder).serve(listener, opened)

    def _facts_in(self, network: ResourceName) -> Callable[[IPv4Address], MachineFacts | None]:
        return lambda address: machine_facts(self._store.world, network, address)

    async def _changed(self) -> None:
        """Return when the World has changed."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)

    def _tell_changed(self, _world: World) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def _publish(self, facts: MachineFacts, path: str, value: str | None) -> None:
        name = facts.machine.name

        def decide(world: World) -> Decision:
            found = world.find(name)
            return Decision((Put(with_guest_attribute(found, path, value)),) if found else ())

        await self._store.commit(decide)


def machine_facts(world: World, network: ResourceName, address: IPv4Address) -> MachineFacts | None:
    """Tell what the machine with an address in a network may know; None when there is none."""
    found = instance_at(world, network, address)
    if found is None:
        return None
    machine = VirtualMachine.of(found)
    project = machine.name.project
    facts = MachineFacts(
        machine,
        project_number(world, project),
        project_metadata(world, project),
        guest_attributes(found),
        found.body.get("description", ""),
    )
    boot = next((each.source for each in machine.disks if each.boot), None)
    disk = world.find(boot) if boot else None
    image = Disk.of(disk).source_image if disk else None
    return replace(facts, image=image.partition("/v1/")[2]) if image else facts
