"""Spanner (``spanner.googleapis.com``), answered by Google's own emulator where the machine has it.

The region does what is the region's: it knows the caller, asks IAM, and passes the call on. What the emulator
does not do it refuses itself. Policies are not built.
"""

from collections.abc import AsyncIterator
from typing import Protocol

from fogbank.discovery.routes import fill_template, methods
from fogbank.resources.world import Json, World
from fogbank.services.contract import Call, Live, Method, Service, Streaming

VERSION = "v1"


class Emulator(Protocol):
    """What the methods are passed on to; ApiError when the emulator refuses, or is not on this machine."""

    async def call(self, verb: str, path: str, query: Json, body: Json) -> Json:
        """Send one request and return the answer."""
        ...

    def stream(self, verb: str, path: str, query: Json, body: Json) -> AsyncIterator[Json]:
        """Send one request and return its answers as they come."""
        ...


async def _pass_on(emulator: Emulator, _world: World, call: Call) -> Json:
    return await emulator.call(*_request(call))


def _stream(emulator: Emulator, _world: World, call: Call) -> AsyncIterator[Json]:
    return emulator.stream(*_request(call))


def _request(call: Call) -> tuple[str, str, Json, Json]:
    """Write a call as the request that it was: verb, path, query and body."""
    described = methods(f"spanner.{VERSION}")[call.method.partition(f".{VERSION}.")[2]]
    path, query = fill_template(described.path, call.parameters)
    return described.verb, f"/{path}", query, call.body


_INSTANCES = "projects.instances"
_DATABASES = "projects.instances.databases"
_SESSIONS = "projects.instances.databases.sessions"

_PERMISSIONS = {
    "projects.instanceConfigs.get": "instanceConfigs.get",
    "projects.instanceConfigs.list": "instanceConfigs.list",
    f"{_INSTANCES}.create": "instances.create",
    f"{_INSTANCES}.get": "instances.get",
    f"{_INSTANCES}.list": "instances.list",
    f"{_INSTANCES}.patch": "instances.update",
    f"{_INSTANCES}.delete": "instances.delete",
    f"{_INSTANCES}.operations.get": "instanceOperations.get",
    f"{_INSTANCES}.operations.list": "instanceOperations.list",
    f"{_INSTANCES}.operations.cancel": "instanceOperations.cancel",
    f"{_INSTANCES}.operations.delete": "instanceOperations.delete",
    f"{_INSTANCES}.databaseOperations.list": "databaseOperations.list",
    f"{_DATABASES}.create": "databases.create",
    f"{_DATABASES}.get": "databases.get",
    f"{_DATABASES}.list": "databases.list",
    f"{_DATABASES}.patch": "databases.update",
    f"{_DATABASES}.dropDatabase": "databases.drop",
    f"{_DATABASES}.getDdl": "databases.getDdl",
    f"{_DATABASES}.updateDdl": "databases.updateDdl",
    f"{_DATABASES}.operations.get": "databaseOperations.get",
    f"{_DATABASES}.operations.list": "databaseOperations.list",
    f"{_DATABASES}.operations.cancel": "databaseOperations.cancel",
    f"{_SESSIONS}.create": "sessions.create",
    f"{_SESSIONS}.batchCreate": "sessions.create",
    f"{_SESSIONS}.get": "sessions.get",
    f"{_SESSIONS}.list": "sessions.list",
    f"{_SESSIONS}.delete": "sessions.delete",
    f"{_SESSIONS}.executeSql": "databases.select",
    f"{_SESSIONS}.executeBatchDml": "databases.write",
    f"{_SESSIONS}.read": "databases.read",
    f"{_SESSIONS}.partitionQuery": "databases.partitionQuery",
    f"{_SESSIONS}.partitionRead": "databases.partitionRead",
    # Whoever may read may begin; a commit asks for more.
    f"{_SESSIONS}.beginTransaction": "databases.beginReadOnlyTransaction",
    f"{_SESSIONS}.rollback": "databases.beginOrRollbackReadWriteTransaction",
    f"{_SESSIONS}.commit": "databases.write",
}
_STREAMING = {
    f"{_SESSIONS}.executeStreamingSql": "databases.select",
    f"{_SESSIONS}.streamingRead": "databases.read",
}

METHODS: dict[str, Method] = {
    **{name: Live(_pass_on, f"spanner.{each}") for name, each in _PERMISSIONS.items()},
    **{name: Streaming(_stream, f"spanner.{each}") for name, each in _STREAMING.items()},
}

SERVICE = Service(
    name="spanner",
    title="Cloud Spanner API",
    versions=(VERSION,),
    methods=METHODS,
    operations="none",
)
