"""Cloud Run's services and revisions, read from their stored Knative JSON into real types.

`lowering` and `control` read revisions here and never the JSON. A stored revision has all its defaults filled
in, so the views are total. The surprising fact: what a VPC connector is called is an annotation.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from fogbank.resources.direct_vpc import DirectVpc, read_direct_vpc
from fogbank.resources.indexes import Index
from fogbank.resources.names import ResourceName
from fogbank.resources.quantities import cpu_millis, memory_bytes
from fogbank.resources.world import Json, Resource, World

SERVICES = "run.services"
REVISIONS = "run.revisions"
POLICIES = "run.policies"

CONNECTOR = "run.googleapis.com/vpc-access-connector"
EGRESS = "run.googleapis.com/vpc-access-egress"
INGRESS = "run.googleapis.com/ingress"
MIN_SCALE = "autoscaling.knative.dev/minScale"
MAX_SCALE = "autoscaling.knative.dev/maxScale"
SERVICE_MIN_SCALE = "run.googleapis.com/minScale"
SERVICE_MAX_SCALE = "run.googleapis.com/maxScale"
SCALING_MODE = "run.googleapis.com/scalingMode"
MANUAL_COUNT = "run.googleapis.com/manualInstanceCount"
SERVICE_LABEL = "serving.knative.dev/service"
URLS = "run.googleapis.com/urls"
IAM_CHECK_OFF = "run.googleapis.com/invoker-iam-disabled"
HEALTH_CHECK_OFF = "run.googleapis.com/health-check-disabled"

DEFAULT_MAX_INSTANCES = 100
"""The server's default for maxInstanceCount (behaviour/cloud-run.md#revisions)."""


class Egress(Enum):
    """Which destinations of an instance go to the VPC (behaviour/cloud-run.md#egress)."""

    PRIVATE_RANGES_ONLY = "private-ranges-only"
    ALL_TRAFFIC = "all-traffic"


class Readiness(Enum):
    """The state of a Ready condition."""

    UNKNOWN = "Unknown"
    READY = "True"
    FAILED = "False"


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


@dataclass(frozen=True, slots=True)
class Revision:
    """What a revision's instances are: image, limits, scale and the way out.

    ``image`` is the reference as written; ``digest`` the pullable ``repository@sha256:…``, None
    until it is resolved. ``command`` and ``args`` are empty when the image's own apply; ``timeout`` in
    seconds.
    """

    name: ResourceName
    service: ResourceName
    readiness: Readiness
    image: str
    digest: str | None
    port: int
    command: tuple[str, ...]
    args: tuple[str, ...]
    environment: Mapping[str, str]
    cpu_millis: int
    memory_bytes: int
    min_instances: int
    max_instances: int
    concurrency: int
    timeout: int
    startup_probe: ContainerProbe | None
    liveness_probe: ContainerProbe | None
    service_account: str
    connector: ResourceName | None
    direct_vpc: DirectVpc | None
    egress: Egress

    @property
    def region(self) -> str:
        return self.name.region or ""


@dataclass(frozen=True, slots=True)
class Target:
    """A share of a service's traffic: ``percent`` of it to ``revision`` (its id), and a tag's own URL."""

    revision: str
    percent: int
    tag: str | None = None
    latest: bool = False


@dataclass(frozen=True, slots=True)
class RunService:
    """What the front end and the control loop know of a service.

    ``traffic`` is what serves now (the status), ``latest_created`` and ``latest_ready`` are revision ids,
    ``urls`` all addresses of the service, the shown one first. ``manual_instances`` is how many instances it
    has whatever the load, None when it scales by itself.
    """

    name: ResourceName
    generation: int
    url: str
    urls: tuple[str, ...]
    traffic: tuple[Target, ...]
    latest_created: str | None
    latest_ready: str | None
    min_instances: int
    manual_instances: int | None
    ingress: str
    iam_check: bool

    def revision(self, identifier: str) -> ResourceName:
        """Name this service's revision ``identifier``."""
        return revision_name(self.name, identifier)


def service_name(project: str, location: str, identifier: str) -> ResourceName:
    """Name a service."""
    return ResourceName(SERVICES, f"projects/{project}/locations/{location}/services/{identifier}")


def revision_name(service: ResourceName, identifier: str) -> ResourceName:
    """Name a revision in the project and region of ``service``."""
    where = f"projects/{service.project}/locations/{service.region}"
    return ResourceName(REVISIONS, f"{where}/revisions/{identifier}")


def connector_name(reference: str, project: str, location: str) -> ResourceName:
    """Read a connector's reference: ``projects/P/locations/L/connectors/C`` or a bare id."""
    path = reference.removeprefix("//vpcaccess.googleapis.com/").strip("/")
    if "/" not in path:
        path = f"projects/{project}/locations/{location}/connectors/{path}"
    return ResourceName("vpcaccess.connectors", path)


def ready_condition(body: Json) -> Readiness:
    """Read the Ready condition of a service or a revision; absent means unknown."""
    for condition in body.get("status", {}).get("conditions", ()):
        if condition["type"] == "Ready":
            return Readiness(condition["status"])
    return Readiness.UNKNOWN


def read_revision(resource: Resource) -> Revision:
    """Read a stored revision."""
    metadata, spec = resource.body["metadata"], resource.body["spec"]
    annotations, labels = metadata.get("annotations", {}), metadata.get("labels", {})
    name = resource.name
    container = ingress_container(spec)
    limits = container["resources"]["limits"]
    connector = annotations.get(CONNECTOR)
    checks_off = annotations.get(HEALTH_CHECK_OFF) == "true"
    return Revision(
        name=name,
        service=service_name(name.project, name.region or "", labels[SERVICE_LABEL]),
        readiness=ready_condition(resource.body),
        image=container["image"],
        digest=resource.body.get("status", {}).get("imageDigest"),
        port=container["ports"][0]["containerPort"],
        command=tuple(container.get("command", ())),
        args=tuple(container.get("args", ())),
        environment={e["name"]: e.get("value", "") for e in container.get("env", ())},
        cpu_millis=cpu_millis(limits["cpu"]),
        memory_bytes=memory_bytes(limits["memory"]),
        min_instances=int(annotations.get(MIN_SCALE, 0)),
        max_instances=int(annotations.get(MAX_SCALE, DEFAULT_MAX_INSTANCES)),
        concurrency=int(spec["containerConcurrency"]),
        timeout=int(spec["timeoutSeconds"]),
        startup_probe=None if checks_off else read_probe(container, "startupProbe"),
        liveness_probe=read_probe(container, "livenessProbe"),
        service_account=spec["serviceAccountName"],
        connector=connector_name(connector, name.project, name.region or "") if connector else None,
        direct_vpc=read_direct_vpc(annotations, name.project, name.region or ""),
        egress=read_egress(annotations),
    )


def read_egress(annotations: Mapping[str, str]) -> Egress:
    """Read the egress setting; ``all`` is the old ``all-traffic``. ValueError when neither."""
    value = annotations.get(EGRESS, Egress.PRIVATE_RANGES_ONLY.value)
    return Egress.ALL_TRAFFIC if value == "all" else Egress(value)


def ingress_container(spec: Json) -> Json:
    """Find the container that answers requests: the one with a port, or the only one."""
    containers: list[Json] = spec["containers"]
    return next((c for c in containers if c.get("ports")), containers[0])


def read_probe(container: Json, which: str) -> ContainerProbe | None:
    """Read a probe of a container, None when it has none; without a port it tries the container's."""
    probe = container.get(which)
    if probe is None:
        return None
    port = (container.get("ports") or [{"containerPort": 8080}])[0]["containerPort"]
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
    )


def read_service(resource: Resource) -> RunService:
    """Read a stored service."""
    body = resource.body
    metadata, status = body["metadata"], body.get("status", {})
    annotations = metadata.get("annotations", {})
    url = status.get("url", "")
    return RunService(
        name=resource.name,
        generation=int(metadata["generation"]),
        url=url,
        urls=tuple(json.loads(annotations.get(URLS, "[]"))) or (url,),
        traffic=tuple(_target(t) for t in status.get("traffic", ())),
        latest_created=status.get("latestCreatedRevisionName"),
        latest_ready=status.get("latestReadyRevisionName"),
        min_instances=int(annotations.get(SERVICE_MIN_SCALE, 0)),
        manual_instances=int(annotations.get(MANUAL_COUNT, 0)) if is_manual(annotations) else None,
        ingress=annotations.get(INGRESS, "all"),
        iam_check=annotations.get(IAM_CHECK_OFF) != "true",
    )


def is_manual(annotations: Mapping[str, str]) -> bool:
    """Return whether a service with ``annotations`` has a number of instances that its user sets."""
    return annotations.get(SCALING_MODE) == "manual"


def _target(entry: Json) -> Target:
    return Target(
        revision=entry["revisionName"],
        percent=int(entry.get("percent", 0)),
        tag=entry.get("tag"),
        latest=bool(entry.get("latestRevision", False)),
    )


def revisions_of(world: World, service: ResourceName) -> tuple[Revision, ...]:
    """Every revision of ``service``, oldest first."""
    found = stored_revisions(world, service)
    return tuple(read_revision(r) for r in sorted(found, key=lambda r: (r.created, r.name.path)))


def stored_revisions(world: World, service: ResourceName) -> Iterator[Resource]:
    """List the revisions of ``service`` as they are stored, by name."""
    return world.by(_BY_SERVICE, service.path)


def revisions_with_connector(world: World, connector: ResourceName) -> Iterator[Resource]:
    """List the revisions that send packets through ``connector``, by name."""
    return world.by(_BY_CONNECTOR, connector.path)


def _service_of(revision: Resource) -> tuple[str, ...]:
    service = revision.body["metadata"]["labels"].get(SERVICE_LABEL)
    return (f"{revision.name.path.partition('/revisions/')[0]}/services/{service}",)


def _connector_of(revision: Resource) -> tuple[str, ...]:
    connector = read_revision(revision).connector
    return (connector.path,) if connector else ()


_BY_SERVICE = Index(REVISIONS, _service_of)
_BY_CONNECTOR = Index(REVISIONS, _connector_of)
