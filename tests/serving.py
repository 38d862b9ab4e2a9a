"""A front end in the test's own event loop: the real proxy, TLS, API and store, and the services given."""

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count

from fogbank.errors import ApiError
from fogbank.frontend.api.application import ApiApplication
from fogbank.frontend.api.invoke import Api
from fogbank.frontend.grpc.application import GrpcApplication
from fogbank.frontend.grpc.entry import WithGrpc
from fogbank.frontend.http.connections import ALPN, Connections
from fogbank.frontend.http.proxy import Proxy
from fogbank.frontend.http.virtual_hosts import Hosts
from fogbank.frontend.iam.identity import invalid_credentials
from fogbank.frontend.pki.authority import open_authority
from fogbank.resources.decisions import Decision
from fogbank.resources.names import compute_name, parse_compute_reference
from fogbank.resources.operations import compute_operation
from fogbank.resources.world import Delete, Put, PutOperation, Resource
from fogbank.services.contract import List, Read, Service, Write
from fogbank.store.journal import Journal
from fogbank.store.store import Store

NOW = datetime(2026, 11, 22, 1, 2, 3, 456000, tzinfo=UTC)
TOKEN = "Bearer token"
OPERATOR = "operator@demo.iam.gserviceaccount.com"


class FakeIdentity:
    def authenticate(self, authorization):
        if authorization != TOKEN:
            raise invalid_credentials()
        return OPERATOR


def _name(call, kind="subnetworks", key="subnetwork"):
    return compute_name(kind, call["project"], "regions", call["region"], call[key])


def _insert(world, call):
    name = compute_name("subnetworks", call["project"], "regions", call["region"], call.body["name"])
    if world.find(name):
        raise ApiError(409, f"The resource '{name}' already exists", "ALREADY_EXISTS", "alreadyExists")
    network = parse_compute_reference(call.body["network"], "networks", call["project"], "global")
    body = call.body | {
        "kind": "compute#subnetwork",
        "id": str(call.new_id()),
        "selfLink": name.self_link,
        "network": network.self_link,
    }
    operation = compute_operation(
        "insert", name, int(body["id"]), now=call.now, new_id=call.new_id, user=call.principal,
        done=call.body.get("description") == "at once",
    )  # fmt: skip
    return Decision((Put(Resource(name, int(body["id"]), call.now, body)),), operation=operation)


def _delete(world, call):
    name = world.get(_name(call)).name
    operation = compute_operation(
        "delete", name, 1, now=call.now, new_id=call.new_id, user=call.principal, done=True
    )
    return Decision((Delete(name),), operation=operation)


def _list(world, call):
    under = f"projects/{call['project']}/" + (
        f"regions/{call['region']}/" if "region" in call.parameters else ""
    )
    return [r.body for r in world.all("compute.subnetworks", under)]


def _broken(world, call):
    raise RuntimeError("a bug")


COMPUTE = Service(
    "compute",
    {
        "subnetworks.insert": Write(_insert),
        "subnetworks.delete": Write(_delete),
        "subnetworks.get": Read(lambda world, call: world.get(_name(call)).body),
        "subnetworks.list": List(_list),
        "subnetworks.aggregatedList": List(_list),
        "projects.get": Read(_broken),
    },
    title="Compute Engine API",
    errors="reasons",
    operations="compute",
)
VPCACCESS = Service(
    "vpcaccess",
    {"projects.locations.connectors.list": List(lambda world, call: [], "connectors")},
)
RUN = Service(
    "run",
    {
        "namespaces.services.get": Read(
            lambda world, call: {"metadata": {"name": call["name"], "namespace": call["location"]}}
        )
    },
)


class Region:
    """What the front end needs of a region, and what tests look at."""

    port: int
    url: str

    def __init__(self, folder, services=(COMPUTE, VPCACCESS, RUN), backends=None):
        self.store = Store(Journal(folder / "world.sqlite"))
        self.authority = open_authority(folder / "authority", folder / "bundle.pem", "test")
        self.bundle = folder / "bundle.pem"
        self.projects = []
        self.settles = True
        ids = count(1000)
        api = Api(
            store=self.store,
            services=services,
            now=lambda: NOW,
            new_id=lambda: next(ids),
            ensure_project=self.ensure_project,
            settle=self.settle,
            backends=backends,
            check_answers=True,
        )
        self.calls = api
        self.api = ApiApplication(api, FakeIdentity())
        with_grpc = WithGrpc(self.api, lambda: GrpcApplication(api, FakeIdentity()))
        self.connections = Connections(Hosts({"api": with_grpc, "run": echo}))
        self.proxy = Proxy(self.connections, lambda host: self.authority.tls_context(host, ALPN))

    async def ensure_project(self, project):
        self.projects.append(project)
        return "demo" if project == "123456789012" else project

    async def settle(self, path, seconds):
        """Finish an operation after a moment, as the control loop would."""
        operation = self.store.world.operations.get(path)
        if operation is None or not self.settles:
            await asyncio.sleep(min(seconds, 0.01))
            return
        await self.store.commit(lambda _w: Decision((PutOperation(operation.done(NOW)),)))

    def client_context(self, *alpn):
        context = ssl.create_default_context(cafile=str(self.bundle))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context


async def echo(scope, receive, send):
    """Answer with the path."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


def listener():
    made = socket.create_server(("127.0.0.1", 0))
    made.setblocking(False)
    return made


@asynccontextmanager
async def serving(folder, **more):
    """Serve a region's front end; gives the region, whose ``url`` is the proxy's."""
    region = Region(folder, **more)
    made = listener()
    region.port = made.getsockname()[1]
    region.url = f"http://127.0.0.1:{region.port}"
    await region.proxy.serve(made)
    try:
        yield region
    finally:
        await region.proxy.close()
        await region.store.close()
