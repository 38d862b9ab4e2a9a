"""One region: everything is made here, tied together, started in order and ended in order.

Ready means: the default project exists, the kernel has its network, and both listeners answer. Start-up work
that nothing waits for (the ID-token key, built-in images, slow imports) goes on in threads meanwhile.
"""

import asyncio
import gc
import logging
import os
import random
import secrets
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Mapping
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import uvloop

from fogbank.app.docker import DockerSocket
from fogbank.app.features import features
from fogbank.app.google_requests import GoogleRequests
from fogbank.app.images import COLLECT_SECONDS, ImageSources
from fogbank.app.machine_servers import MachineServers
from fogbank.app.operator.clients import ClientsApi
from fogbank.app.operator.clock import ClockApi
from fogbank.app.operator.connecting import Connecting
from fogbank.app.operator.internet import InternetApi
from fogbank.app.operator.logs import LogsApi
from fogbank.app.operator.paths import PathsApi
from fogbank.app.operator.plan import PlanApi, TerraformPlans
from fogbank.app.operator.status import StatusApi
from fogbank.app.projects import Projects
from fogbank.app.registry import manifests, services
from fogbank.app.tracing import Tracer
from fogbank.clock import Clock
from fogbank.control.controller import Runtime
from fogbank.control.logbook import Logbook
from fogbank.control.loop import ControlLoop
from fogbank.control.operation_retention import forget_operations
from fogbank.control.operator import OperatorApi
from fogbank.control.periodic import every
from fogbank.dataplane.driver import Drifted, Event, WorkloadExited, WorkloadWrote
from fogbank.dataplane.linux.containers.runtime import CrunRuntime
from fogbank.dataplane.linux.data_folders import DataFolders
from fogbank.dataplane.linux.docker_engine import DOCKER_ENGINE, DockerEngine
from fogbank.dataplane.linux.driver import LinuxDriver
from fogbank.dataplane.linux.images.builtin import open_store
from fogbank.dataplane.linux.images.debian_roots import DebianRoots
from fogbank.dataplane.linux.memory import LOOK_SECONDS, Trimmer
from fogbank.dataplane.linux.net.capture import probe
from fogbank.dataplane.linux.net.namespaces import NetworkNamespaces
from fogbank.dataplane.linux.world import CONTAINERS, Entered
from fogbank.frontend.api.application import ApiApplication
from fogbank.frontend.api.invoke import Api
from fogbank.frontend.client_environment import environment
from fogbank.frontend.grpc.entry import WithGrpc
from fogbank.frontend.http.asgi import Receive, Scope, Send
from fogbank.frontend.http.connections import ALPN, Connections
from fogbank.frontend.http.proxy import Proxy
from fogbank.frontend.http.virtual_hosts import Hosts
from fogbank.frontend.iam.accounts import WorldDirectory, operator_account
from fogbank.frontend.iam.iamcredentials import IamCredentials, iamcredentials_application
from fogbank.frontend.iam.identity import open_identity
from fogbank.frontend.iam.oauth import oauth_application
from fogbank.frontend.ingress.application import VPC_PROJECT, Ingress
from fogbank.frontend.ingress.exchange import RequestRecord
from fogbank.frontend.pki.authority import open_authority
from fogbank.frontend.tunnels.application import Tunnels
from fogbank.lowering.compiler import Compiler
from fogbank.lowering.netns_names import project_of_google_netns
from fogbank.network.addressing import FABRIC_INSTANCES
from fogbank.network.packet_captures import ProbeResult
from fogbank.network.topology import Listener, NetnsName
from fogbank.paths.callers import Callers
from fogbank.paths.trace import Flow
from fogbank.resources.authorization import Policies
from fogbank.resources.clock_offset import stored_offset
from fogbank.resources.decisions import Decision
from fogbank.resources.direct_vpc import keep_as_of
from fogbank.resources.dns_queries import QueryLog
from fogbank.resources.names import ResourceName
from fogbank.resources.predefined_roles import role_titles
from fogbank.resources.projects import project_number
from fogbank.resources.sites import find_site
from fogbank.servers.access_log import AccessLog
from fogbank.servers.dns import import_messages, world_answers
from fogbank.servers.dns_forwarding import Forwarder
from fogbank.servers.listeners import ListenerServers, http_server
from fogbank.servers.metadata import Asking, InstanceFacts, metadata_application
from fogbank.servers.sites import Sites
from fogbank.services.contract import catalogue_of
from fogbank.services.run.controller import RunController
from fogbank.services.run.controller.controller import Occupant
from fogbank.services.run.controller.request_queue import NoCapacity
from fogbank.services.run.instances import network_of
from fogbank.settings import Folders, Settings, cache_home
from fogbank.store.journal import Journal
from fogbank.store.log_entries import LogEntries
from fogbank.store.store import Store

if TYPE_CHECKING:
    from fogbank.frontend.grpc.application import GrpcApplication

log = logging.getLogger(__name__)

PROBE_SECONDS = 2.0

SWITCH_SECONDS = 0.0005
"""How long the event loop waits for the interpreter while a thread computes: the builder, above all."""


class Region:
    """All the parts of one region."""

    def __init__(self, entered: Entered, places: Folders, settings: Settings) -> None:
        self._entered, self._places, self._settings = entered, places, settings
        self._started, self._ready = time.monotonic(), False
        self._ended = asyncio.Event()
        self._events = asyncio.get_running_loop()
        self._tasks: list[asyncio.Future[Any]] = []
        self.store = Store(Journal(places.database))
        self._clock = Clock(stored_offset(self.store.world))
        self.log_entries = LogEntries(places.log_entries, self._clock.now)
        self._make_identity()
        self._make_data_plane()
        self._make_control()
        self._make_front_end()
        self._make_operator_api()

    async def run(self) -> None:
        """Start, serve until told to end, end."""
        await self.projects.provision_default_network(
            self._settings.project, self._settings.project_number or None
        )
        await self.store.commit(
            lambda world: Decision(keep_as_of(world, self._settings.as_of, self._clock.now(), _new_id))
        )
        first_pass = asyncio.Event()
        self.loop.after_pass(first_pass.set)
        self._spawn(self.loop.run())
        await first_pass.wait()
        for controller in self.controllers:
            self._spawn(controller.run())
        self._spawn(forget_operations(self.store, self._clock))
        self._spawn(every(LOOK_SECONDS, Trimmer().trim))
        self._spawn(every(COLLECT_SECONDS, self.images.collect_soon))
        await self.proxy.serve(self._entered.proxy)
        self._spawn(http_server(self.operator_api)(None, self._entered.operator))
        self._ready = True
        self._tell_ready()
        self.docker.open()
        log.info("ready: %d elements", len(self.loop.observed))
        self._spawn(self._warm())
        await self._ended.wait()
        await self._end()

    def _tell_ready(self) -> None:
        """Tell who started the region; when that was killed, go on if there is a note to be found by."""
        try:
            self._entered.ready({})
        except BrokenPipeError:
            if not self._places.running.exists():
                raise
            log.warning("whoever started the region has gone")

    def end(self) -> None:
        """Have :meth:`run` return."""
        self._ended.set()

    def _make_identity(self) -> None:
        settings, places = self._settings, self._places
        self.authority = open_authority(places.authority, places.bundle, settings.name)
        operator = operator_account(settings.project)
        self.access = Policies(operator, self._clock.now)
        directory = WorldDirectory(lambda: self.store.world, self.access)
        self.identity = open_identity(places.authority, places.credentials, settings.project, directory)
        places.gcloud.mkdir(mode=0o700, exist_ok=True)
        self.projects = Projects(
            self.store,
            owner=operator,
            strict=settings.strict_projects,
            defaults=catalogue_of(services()).new_project,
            now=self._clock.now,
            new_id=_new_id,
        )

    def _make_data_plane(self) -> None:
        places = self._places
        self.site_access_log = AccessLog(places.site_access_log)
        internet = Sites(
            lambda host: find_site(self.store.world, host),
            self.authority.context_for_site,
            self.site_access_log,
            self._clock.now,
        )
        machines = MachineServers(
            self.store,
            self.identity,
            metadata=http_server(metadata_application(self.identity, Asking(self._facts))),
            network_of=self._network_of,
            queries=QueryLog(self.log_entries.append, self._clock.now),
            forwarder=Forwarder(lambda *place: self.driver.open_socket(*place)),  # noqa: PLW0108 - made below
        )
        self.servers = ListenerServers(
            {
                "metadata": machines.serve_metadata,
                "resolver": machines.serve_names,
                "site": internet.serve,
                "front-end": self._serve_google,
            }
        )
        self.registry, images = open_store(places.registry, cache_home())
        self.images = ImageSources(lambda: self.store.world, self.access, self.registry, places.registry)
        self.docker = DockerSocket(
            DockerEngine(
                DOCKER_ENGINE,
                places.docker_data,
                places.bundle,
                roots=DebianRoots(cache_home() / "debian"),
                store=self.registry,
                images=images,
            ),
            places,
            lambda: self.proxy,
        )
        self.namespaces = NetworkNamespaces()
        self.data = DataFolders(places.data, CONTAINERS / "data")
        self.containers = CrunRuntime(
            CONTAINERS,
            images,
            places.bundle,
            namespaces=self.namespaces,
            report=self._report,
            data=self.data,
        )
        self.driver = LinuxDriver(
            serve=self.servers.serve,
            unserve=self.servers.unserve,
            containers=self.containers,
            namespaces=self.namespaces,
            report=self._report,
        )

    def _make_control(self) -> None:
        self.logbook = Logbook(self._places.root / "log.jsonl", self._clock)
        self.loop = ControlLoop(self.store, self.driver, Compiler(features()), services(), self._clock)
        self.google_requests = GoogleRequests(
            self.identity,
            self.driver.open_socket,
            world_answers(lambda: self.store.world, lambda _client: None),
            self._places.bundle,
        )
        self.tracer = Tracer(
            world=lambda: self.store.world,
            loop=self.loop,
            sources=lambda: (source for each in self.controllers for source in each.trace_sources()),
            send=self._send_probe,
            drops_in=self.driver.drops,
            project=self._settings.project,
        )
        runtime = Runtime(
            self.store,
            self.loop,
            self.driver,
            self._clock,
            self.logbook,
            self.images.resolve,
            self.data,
            self.log_entries,
            self.access,
            self.google_requests.send,
            trace_sources=self.tracer.sources,
            observe=self.tracer.observe,
        )
        self._backends = {each.service.name: each.backend(runtime) for each in manifests() if each.backend}
        self.controllers = tuple(
            make(runtime)
            for each in manifests()
            for make in (*((each.controller,) if each.controller else ()), *each.companions)
        )
        self.run_controller = next(each for each in self.controllers if isinstance(each, RunController))

    def _make_front_end(self) -> None:
        self.api = Api(
            store=self.store,
            services=services(),
            now=self._clock.now,
            new_id=_new_id,
            ensure_project=self.projects.ensure,
            settle=self.loop.settle,
            observed=lambda: self.loop.observed,
            access=self.access,
            operator=self.identity.operator.email,
            backends=self._backends,
        )
        self.ingress = Ingress(
            lambda: self.store.world,
            self.identity,
            self._clock,
            self.run_controller.instances,
            exhausted=NoCapacity,
            open_socket=self.driver.open_socket,
            draw=random.random,
            record=self._note_request,
            vpc_project=Callers(lambda: self.loop.observed).vpc_project,
            google_project=self.google_requests.project_of,
        )
        self.registry_server = self.images.serve(self.store, self.identity, self._clock.now, _new_id)
        self.tunnels = Tunnels(lambda: self.store.world, self.identity, self.access, self.driver.open_socket)
        self.hosts = Hosts(
            {
                "api": WithGrpc(ApiApplication(self.api, self.identity), self._make_grpc),
                "accounts": oauth_application(self.identity),
                "iamcredentials": WithGrpc(iamcredentials_application(self.identity), self._make_grpc),
                "run": self.ingress,
                "registry": self.registry_server,
                "tunnel": self.tunnels,
            }
        )
        self.proxy = Proxy(Connections(self.hosts), lambda host: self.authority.tls_context(host, ALPN))

    def _make_grpc(self) -> "GrpcApplication":
        from fogbank.frontend.grpc.application import GrpcApplication  # not every client speaks it

        credentials = IamCredentials(self.identity)
        return GrpcApplication(self.api, self.identity, {"iamcredentials": credentials.call})

    async def _serve_google(self, listener: Listener, opened: socket.socket) -> None:
        """Serve requests from inside the world to hosts of Google's: services and APIs."""
        project = project_of_google_netns(listener.netns)

        async def to_google(scope: Scope, receive: Receive, send: Send) -> None:
            await self.hosts({**scope, VPC_PROJECT: project}, receive, send)

        await http_server(to_google, self.authority.listener_context)(listener, opened)

    def _make_operator_api(self) -> None:
        settings, store, loop, controllers = self._settings, self.store, self.loop, self.controllers
        topics = (
            StatusApi(
                settings,
                store,
                loop,
                controllers,
                self._started,
                lambda: self._ready,
                self.api.unknown_fields,
            ),
            InternetApi(store, loop, self._clock, self.site_access_log, _new_id),
            LogsApi(self.logbook, controllers),
            PathsApi(loop, self.tracer, self.driver.drops, self.driver.flows),
            ClockApi(store, self._clock, controllers, self.driver.advance_conntrack_timeouts, _new_id),
            PlanApi(loop, TerraformPlans(settings, store, loop, self._clock, _new_id)),
            ClientsApi(
                self._environment,
                self.identity.user_document,
                self.registry.images,
                self.images.load,
                self.end,
            ),
        )
        self.operator_api = Connecting(
            OperatorApi(route for topic in topics for route in topic.routes()),
            self.driver.open_socket,
            world_answers(lambda: self.store.world, lambda _client: None),
        )

    def _environment(self) -> Mapping[str, str | None]:
        settings = self._settings
        found = environment(self._places, settings.port, settings.project, settings.region)
        return {**found, **self.docker.environment()}

    async def _warm(self) -> None:
        """Make what first requests would wait for, now that nobody waits; they try again what fails."""
        for work in (
            self.containers.warm,
            self.identity.warm,
            role_titles,
            import_messages,
            self.namespaces.refill,
        ):
            try:
                await asyncio.to_thread(work)
            except Exception:
                log.exception("could not be prepared: %s", work)

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.docker.close()
        await self.proxy.close()
        await self.ingress.close()
        await self.google_requests.close()
        self.registry_server.close()
        self.tunnels.close()
        await self.loop.close()
        await asyncio.to_thread(self.driver.close)
        await self.store.close()
        self.logbook.close()
        await self.log_entries.close()
        self.site_access_log.close()

    def _spawn(self, work: Awaitable[Any]) -> None:
        task = asyncio.ensure_future(work)
        task.add_done_callback(self._task_ended)
        self._tasks.append(task)

    def _task_ended(self, task: asyncio.Future[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a part of the region ended; the region ends with it", exc_info=error)
            self.end()

    def _report(self, event: Event) -> None:
        """Take an event of the driver, from any thread."""
        self._events.call_soon_threadsafe(self._handle, event)

    def _handle(self, event: Event) -> None:
        if any(controller.handle(event) for controller in self.controllers):
            return
        match event:
            case Drifted(why=why):
                log.warning("the machine changed: %s", why)
                self.loop.drifted()
            case WorkloadWrote(name=name, stream=stream, line=line):
                self.logbook.append(f"instance/{name}", stream, line)
            case WorkloadExited(name=name, status=status, requested=requested):
                if not requested:
                    self.logbook.append(
                        f"instance/{name}", "system", f"Container exited with status {status}."
                    )

    def _note_request(self, record: RequestRecord) -> None:
        self.run_controller.served(record)
        text = f"{record.method} {record.url} {record.status} {record.latency:.3f}s"
        self.logbook.append(
            f"run/{record.service.id}",
            "requests",
            record.message or text,
            record.severity,
            revision=record.revision.id if record.revision else None,
            status=record.status,
        )

    def _facts(self, address: IPv4Address) -> InstanceFacts | None:
        occupant = self._occupant(address)
        if occupant is None:
            return None
        runs = occupant.runs
        project = runs.name.project
        return InstanceFacts(
            instance_id=occupant.id,
            project=project,
            project_number=project_number(self.store.world, project),
            region=runs.region,
            service_account=runs.service_account,
        )

    def _network_of(self, address: IPv4Address) -> ResourceName | None:
        """Tell in which VPC network an instance of the serverless fabric sees private zones."""
        occupant = self._occupant(address)
        return network_of(self.store.world, occupant.spec) if occupant else None

    def _occupant(self, address: IPv4Address) -> Occupant | None:
        """Find whose an address of the serverless fabric is."""
        return self.run_controller.at(int(address) - int(FABRIC_INSTANCES.network_address))

    def _send_probe(self, flow: Flow, watch: frozenset[NetnsName]) -> ProbeResult:
        return probe(
            self.namespaces, flow.start, flow.destination, flow.port, watch=watch, seconds=PROBE_SECONDS
        )


def _new_id() -> int:
    """Draw one of Google's numeric ids: 19 digits or so."""
    return secrets.randbits(62) | 1 << 61


def serve(entered: Entered, places: Folders, settings: Settings) -> int:
    """Run a region until SIGTERM, SIGINT or ``fogbank down``."""

    async def main() -> None:
        gc.disable()  # start-up, above all the reading of a large World, makes little but what stays
        region = Region(entered, places, settings)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, region.end)
        gc.freeze()  # what start-up made need not be looked at by any collection
        gc.enable()
        await region.run()

    os.umask(0o077)
    sys.setswitchinterval(SWITCH_SECONDS)
    uvloop.run(main())
    return 0
