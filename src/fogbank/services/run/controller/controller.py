"""Cloud Run while the region runs: its instances, as the region's control plane sees them."""

from collections.abc import Iterable, Mapping
from typing import Any

from fogbank.control.controller import Controller, Runtime, TraceSource
from fogbank.control.progress import Failure
from fogbank.dataplane.driver import Drifted, Event, WorkloadExited, WorkloadWrote
from fogbank.lowering.netns_names import instance_netns
from fogbank.resources.names import ResourceName
from fogbank.resources.run import SERVICES
from fogbank.services.run.controller.instance_state import InstanceState
from fogbank.services.run.controller.instances import Instances
from fogbank.services.run.instances import network_of


class RunController(Controller):
    """Keeps instances of revisions running; the ingress and the metadata server ask ``instances``."""

    name = "run"

    def __init__(self, runtime: Runtime, instances: Instances) -> None:
        self._store, self._logbook = runtime.store, runtime.logbook
        self.instances = instances
        self.log = instances.log

    async def run(self) -> None:
        """Follow the load until cancelled."""
        await self.instances.run()

    def reconcile(self) -> None:
        """Look at all services again."""
        self.instances.reconcile()

    def status(self) -> Mapping[str, list[dict[str, Any]]]:
        """List the instances that should run, and the subnetworks that they have addresses in."""
        rows = [
            {
                "id": instance.id,
                "revision": instance.revision.name.path,
                "state": instance.phase,
                "inFlight": instance.in_flight,
            }
            for instance in self.instances.running.values()
        ]
        return {"instances": rows, "subnetworks": self.instances.subnetworks()}

    def explain(self) -> Iterable[tuple[ResourceName, Failure]]:
        """List revisions whose instances do not live."""
        return self.instances.explain()

    def handle(self, event: Event) -> bool:
        """Log what a container writes and how it ends, and replace it."""
        if isinstance(event, Drifted):
            return False
        instance = self.instances.find(event.name)
        if instance is None:
            return False
        match event:
            case WorkloadWrote(stream=stream, line=line):
                self._logbook.append(_log_name(instance), stream, line)
                self.log.wrote(instance, stream, line)
            case WorkloadExited(status=status, requested=requested):
                if not requested:
                    text = f"Container exited with status {status}."
                    self._logbook.append(_log_name(instance), "system", text)
                    self.log.exited(instance, status)
                self.instances.exited(event)
        return True

    def log_names(self) -> Iterable[str]:
        """Name every service."""
        return [f"run/{resource.name.id}" for resource in self._store.world.all(SERVICES)]

    def trace_sources(self) -> Iterable[TraceSource]:
        """List the instances that listen."""
        for instance in self.instances.running.values():
            if instance.phase == "ready":
                parts = (instance.revision.name.id, instance.id)
                network = network_of(self._store.world, instance.spec)
                netns = instance_netns(instance.id)
                yield TraceSource(instance.id, netns, instance.revision.service, parts, network)


def _log_name(instance: InstanceState) -> str:
    """Name an instance as ``fogbank logs`` does: ``run/SERVICE/INSTANCE``."""
    return f"run/{instance.revision.service.id}/{instance.id}"
