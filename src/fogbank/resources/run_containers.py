"""The containers and volumes of a revision, read from their stored Knative JSON into real types.

What Cloud Run starts otherwise (tasks of jobs) reads its containers here, too. Secrets are only named: what
is in them is looked up when a container starts.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from fogbank.resources.quantities import cpu_millis, memory_bytes
from fogbank.resources.secrets import LATEST
from fogbank.resources.world import Json

DEPENDENCIES = "run.googleapis.com/container-dependencies"
SECRET_ALIASES = "run.googleapis.com/secrets"  # noqa: S105 (an annotation's name)

CLOUD_SQL = "run.googleapis.com/cloudsql-instances"
CLOUD_SQL_PROXY = "us-docker.pkg.dev/fogbank/samples/cloudsql"
"""The image of what keeps sockets of Cloud SQL instances (behaviour/cloud-run.md#cloud-sql-connections)."""
CLOUD_SQL_FOLDER = "/cloudsql"
_CLOUD_SQL_NAME = "cloud-sql-proxy"
_CLOUD_SQL_BYTES = 1024 * 1024
_CLOUD_SQL_MEMORY = 128 * 1024 * 1024

DEFAULT_FILE_MODE = 0o444


@dataclass(frozen=True, slots=True)
class ContainerProbe:
    """A probe; times in seconds. ``path`` and ``headers`` are for ``http``, ``service`` for ``grpc``."""

    kind: Literal["tcp", "http", "grpc"]
    port: int
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    service: str = ""
    initial_delay: int = 0
    period: int = 240
    timeout: int = 240
    failure_threshold: int = 1
    success_threshold: int = 1


@dataclass(frozen=True, slots=True)
class SecretReference:
    """A version of a secret: ``secret`` is an id in the same project, or ``projects/P/secrets/S``.

    ``field`` is where it is written, as Google's messages have it.
    """

    secret: str
    version: str
    field: str


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A secret as a file: ``path`` below the volume's root, permission bits."""

    path: str
    mode: int
    source: SecretReference


@dataclass(frozen=True, slots=True)
class SecretVolume:
    """A volume whose files are secrets."""

    name: str
    files: tuple[SecretFile, ...]


@dataclass(frozen=True, slots=True)
class MemoryVolume:
    """A volume that begins empty; without ``size_bytes`` it may be as large as its container's memory."""

    name: str
    size_bytes: int | None


RunVolume = SecretVolume | MemoryVolume


@dataclass(frozen=True, slots=True)
class RunContainer:
    """One container: empty ``command`` or ``args`` or ``folder`` take the image's.

    ``port`` is that of the one which answers requests, None for a sidecar; ``http2`` tells that it speaks
    HTTP/2 without TLS. It starts when those in ``depends_on`` have started. ``mounts`` are volumes by path.
    """

    name: str
    image: str
    port: int | None
    http2: bool
    command: tuple[str, ...]
    args: tuple[str, ...]
    folder: str
    environment: Mapping[str, str]
    secrets: Mapping[str, SecretReference]
    mounts: tuple[tuple[str, str], ...]
    cpu_millis: int
    memory_bytes: int
    startup_probe: ContainerProbe | None
    liveness_probe: ContainerProbe | None
    readiness_probe: ContainerProbe | None
    depends_on: tuple[str, ...]


def read_containers(spec: Json, annotations: Mapping[str, str]) -> tuple[RunContainer, ...]:
    """Read the containers of a revision, in their order."""
    aliases, dependencies = _aliases(annotations), read_dependencies(annotations)
    several = len(spec["containers"]) > 1
    read = (
        _container(each, f"spec.template.spec.containers[{index}]", aliases, dependencies, several=several)
        for index, each in enumerate(spec["containers"])
    )
    if not (connections := cloud_sql_connections(spec, annotations)):
        return tuple(read)
    volume = _cloud_sql_volume(spec)
    mount = (CLOUD_SQL_FOLDER, volume or _CLOUD_SQL_NAME)
    mounted = read if volume else (replace(each, mounts=(*each.mounts, mount)) for each in read)
    return (*mounted, _cloud_sql_proxy(connections, mount))


def cloud_sql_connections(spec: Json, annotations: Mapping[str, str]) -> tuple[str, ...]:
    """List the Cloud SQL instances (``PROJECT:REGION:INSTANCE``) to which a revision has sockets."""
    named = [each.strip() for each in annotations.get(CLOUD_SQL, "").split(",")]
    for volume in spec.get("volumes", ()):
        named += volume.get("cloudSqlInstance", {}).get("instances", ())
    return tuple(dict.fromkeys(filter(None, named)))


def _cloud_sql_volume(spec: Json) -> str:
    """Name the user's volume for the sockets; empty when an annotation asks for them."""
    found = (each["name"] for each in spec.get("volumes", ()) if "cloudSqlInstance" in each)
    return str(next(found, ""))


def _cloud_sql_proxy(connections: tuple[str, ...], mount: tuple[str, str]) -> RunContainer:
    """Make the container that keeps the sockets, which no user sees."""
    return RunContainer(
        name=_CLOUD_SQL_NAME,
        image=CLOUD_SQL_PROXY,
        port=None,
        http2=False,
        command=(),
        args=connections,
        folder="",
        environment={},
        secrets={},
        mounts=(mount,),
        cpu_millis=100,
        memory_bytes=_CLOUD_SQL_MEMORY,
        startup_probe=None,
        liveness_probe=None,
        readiness_probe=None,
        depends_on=(),
    )


def ingress_container(spec: Json) -> Json:
    """Find the container that answers requests: the one with a port, or the only one."""
    containers: list[Json] = spec["containers"]
    return next((c for c in containers if c.get("ports")), containers[0])


def _container(
    container: Json,
    where: str,
    aliases: Mapping[str, str],
    dependencies: Mapping[str, list[str]],
    *,
    several: bool,
) -> RunContainer:
    limits = container["resources"]["limits"]
    ports: list[Json] = container.get("ports") or []
    name = container.get("name", "") if several else ""
    return RunContainer(
        name=name,
        image=container["image"],
        port=ports[0]["containerPort"] if ports else None,
        http2=bool(ports) and ports[0].get("name") == "h2c",
        command=tuple(container.get("command", ())),
        args=tuple(container.get("args", ())),
        folder=container.get("workingDir", ""),
        environment={e["name"]: e.get("value", "") for e in container.get("env", ()) if "valueFrom" not in e},
        secrets=dict(_secrets(container, where, aliases)),
        mounts=tuple((each["mountPath"], each["name"]) for each in container.get("volumeMounts", ())),
        cpu_millis=cpu_millis(limits["cpu"]),
        memory_bytes=memory_bytes(limits["memory"]),
        startup_probe=read_probe(container, "startupProbe"),
        liveness_probe=read_probe(container, "livenessProbe"),
        readiness_probe=read_probe(container, "readinessProbe"),
        depends_on=tuple(dependencies.get(name, ())) if name else (),
    )


def _secrets(
    container: Json, where: str, aliases: Mapping[str, str]
) -> Iterator[tuple[str, SecretReference]]:
    for index, variable in enumerate(container.get("env", ())):
        if "valueFrom" in variable:
            chosen = variable["valueFrom"]["secretKeyRef"]
            field = f"{where}.env[{index}].value_from.secret_key_ref.name"
            secret = aliases.get(chosen["name"], chosen["name"])
            yield variable["name"], SecretReference(secret, chosen.get("key") or LATEST, field)


def read_volumes(spec: Json, annotations: Mapping[str, str]) -> tuple[RunVolume, ...]:
    """Read the volumes of a revision."""
    aliases = _aliases(annotations)
    read = tuple(_volume(each, index, aliases) for index, each in enumerate(spec.get("volumes", ())))
    if not cloud_sql_connections(spec, annotations) or _cloud_sql_volume(spec):
        return read
    return (*read, MemoryVolume(_CLOUD_SQL_NAME, _CLOUD_SQL_BYTES))


def _volume(volume: Json, index: int, aliases: Mapping[str, str]) -> RunVolume:
    name, source = volume["name"], volume.get("secret")
    if "cloudSqlInstance" in volume:
        return MemoryVolume(name, _CLOUD_SQL_BYTES)
    if source is None:
        limit = volume["emptyDir"].get("sizeLimit")
        return MemoryVolume(name, memory_bytes(limit) if limit else None)
    secret = aliases.get(source["secretName"], source["secretName"])
    usual = source.get("defaultMode") or DEFAULT_FILE_MODE
    where = f"spec.template.spec.volumes[{index}].secret"
    items = source.get("items") or [{"key": LATEST, "path": secret.rpartition("/")[2]}]
    files = (
        SecretFile(
            item["path"],
            item.get("mode") or usual,
            SecretReference(secret, item.get("key") or LATEST, f"{where}.items[{number}].key"),
        )
        for number, item in enumerate(items)
    )
    return SecretVolume(name, tuple(files))


def _aliases(annotations: Mapping[str, str]) -> Mapping[str, str]:
    """Read by which names a revision calls secrets of other projects: ``alias:projects/P/secrets/S,…``."""
    pairs = (each.partition(":") for each in annotations.get(SECRET_ALIASES, "").split(",") if each.strip())
    return {alias.strip(): path.strip() for alias, _, path in pairs}


def read_dependencies(annotations: Mapping[str, str]) -> Mapping[str, list[str]]:
    """Read which containers start after which others, by name; ValueError when it cannot be read."""
    found = json.loads(annotations.get(DEPENDENCIES) or "{}")
    if not isinstance(found, dict) or not all(isinstance(each, list) for each in found.values()):
        raise ValueError(f"{DEPENDENCIES} is no object of lists")
    return found


def read_probe(container: Json, which: str) -> ContainerProbe | None:
    """Read a probe of a container, None when it has none; without a port it tries the container's."""
    probe = container.get(which)
    if probe is None:
        return None
    port = container["ports"][0]["containerPort"] if container.get("ports") else 0
    kind: Literal["tcp", "http", "grpc"] = "tcp"
    action = probe.get("tcpSocket", {})
    if "httpGet" in probe:
        kind, action = "http", probe["httpGet"]
    elif "grpc" in probe:
        kind, action = "grpc", probe["grpc"]
    return ContainerProbe(
        kind=kind,
        port=int(action.get("port") or port),
        path=action.get("path") or "/",
        headers=tuple((each["name"], each.get("value", "")) for each in action.get("httpHeaders", ())),
        service=action.get("service", ""),
        initial_delay=int(probe.get("initialDelaySeconds", 0)),
        period=int(probe.get("periodSeconds", 10)),
        timeout=int(probe.get("timeoutSeconds", 1)),
        failure_threshold=int(probe.get("failureThreshold", 3)),
        success_threshold=int(probe.get("successThreshold", 1)),
    )
