"""Cloud Run's services and revisions, read from their stored Knative JSON into real types.

`lowering` and `control` read revisions here and never the JSON. A stored revision has all its defaults filled
in, so the views are total. The surprising fact: what a VPC connector is called is an annotation.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from fogbank.resources.direct_vpc import DirectVpc, read_direct_vpc
from fogbank.resources.indexes import Index
from fogbank.resources.names import ResourceName
from fogbank.resources.run_containers import (
    CLOUD_SQL_PROXY,
    RunContainer,
    RunVolume,
    read_containers,
    read_volumes,
)
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
SESSION_AFFINITY = "run.googleapis.com/sessionAffinity"
DEFAULT_URL_OFF = "run.googleapis.com/default-url-disabled"
HEALTH_CHECK_OFF = "run.googleapis.com/health-check-disabled"

HIDDEN_DIGESTS = "hiddenDigests"
"""In a revision's private part: the images of containers that no user sees, by reference."""

DEFAULT_PORT = 8080
"""Where a container listens that does not say (behaviour/cloud-run.md#container)."""

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
class Revision:
    """What a revision's instances are: containers, scale and the way out.

    ``digests`` are the pullable ``repository@sha256:…`` of its images by reference, those that are resolved;
    ``timeout`` in seconds. Without ``checks`` no start-up probe is waited for.
    """

    name: ResourceName
    service: ResourceName
    readiness: Readiness
    containers: tuple[RunContainer, ...]
    volumes: tuple[RunVolume, ...]
    digests: Mapping[str, str]
    checks: bool
    session_affinity: bool
    min_instances: int
    max_instances: int
    concurrency: int
    timeout: int
    service_account: str
    connector: ResourceName | None
    direct_vpc: DirectVpc | None
    egress: Egress

    @property
    def region(self) -> str:
        return self.name.region or ""

    @property
    def ingress(self) -> RunContainer:
        """The container that answers requests."""
        return next((each for each in self.containers if each.port is not None), self.containers[0])

    @property
    def port(self) -> int:
        """Where requests go."""
        return self.ingress.port or DEFAULT_PORT

    @property
    def image(self) -> str:
        """The image of the container that answers requests, as written."""
        return self.ingress.image

    @property
    def digest(self) -> str | None:
        """The pullable reference of that image; None until all images are resolved."""
        return None if self.unresolved else self.digests[self.image]

    @property
    def unresolved(self) -> tuple[str, ...]:
        """The images that are not resolved yet, each once."""
        return tuple(dict.fromkeys(each.image for each in self.containers if each.image not in self.digests))


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
    ``urls`` all addresses of the service, the shown one first. ``max_instances`` is the most of all its
    revisions together, None when only theirs count. ``manual_instances`` is how many it has whatever the
    load, None when it scales by itself.
    """

    name: ResourceName
    generation: int
    url: str
    urls: tuple[str, ...]
    traffic: tuple[Target, ...]
    latest_created: str | None
    latest_ready: str | None
    min_instances: int
    max_instances: int | None
    manual_instances: int | None
    ingress: str
    iam_check: bool
    default_url: bool

    def revision(self, identifier: str) -> ResourceName:
        """Name this service's revision ``identifier``."""
        return revision_name(self.name, identifier)


def service_name(project: str, location: str, identifier: str) -> ResourceName:
    """Name a service."""
    return ResourceName(SERVICES, f"projects/{project}/locations/{location}/services/{identifier}")


@lru_cache(4096)
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
    connector = annotations.get(CONNECTOR)
    status = resource.body.get("status", {})
    containers = read_containers(spec, annotations)
    return Revision(
        name=name,
        service=service_name(name.project, name.region or "", labels[SERVICE_LABEL]),
        readiness=ready_condition(resource.body),
        containers=containers,
        volumes=read_volumes(spec, annotations),
        digests=_digests(containers, status) | resource.private.get(HIDDEN_DIGESTS, {}),
        checks=annotations.get(HEALTH_CHECK_OFF) != "true",
        session_affinity=annotations.get(SESSION_AFFINITY, "").lower() == "true",
        min_instances=int(annotations.get(MIN_SCALE, 0)),
        max_instances=int(annotations.get(MAX_SCALE, DEFAULT_MAX_INSTANCES)),
        concurrency=int(spec["containerConcurrency"]),
        timeout=int(spec["timeoutSeconds"]),
        service_account=spec["serviceAccountName"],
        connector=connector_name(connector, name.project, name.region or "") if connector else None,
        direct_vpc=read_direct_vpc(annotations, name.project, name.region or ""),
        egress=read_egress(annotations),
    )


def _digests(containers: tuple[RunContainer, ...], status: Json) -> dict[str, str]:
    """Find the digests of images: one container has its in the status, several in statuses of their own."""
    shown = [each for each in containers if each.image != CLOUD_SQL_PROXY]
    if len(shown) == 1:
        return {shown[0].image: status["imageDigest"]} if "imageDigest" in status else {}
    known = {each["name"]: each["imageDigest"] for each in status.get("containerStatuses", ())}
    return {each.image: known[each.name] for each in shown if each.name in known}


def read_egress(annotations: Mapping[str, str]) -> Egress:
    """Read the egress setting; ``all`` is the old ``all-traffic``. ValueError when neither."""
    value = annotations.get(EGRESS, Egress.PRIVATE_RANGES_ONLY.value)
    return Egress.ALL_TRAFFIC if value == "all" else Egress(value)


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
        max_instances=int(annotations[SERVICE_MAX_SCALE]) if SERVICE_MAX_SCALE in annotations else None,
        manual_instances=int(annotations.get(MANUAL_COUNT, 0)) if is_manual(annotations) else None,
        ingress=annotations.get(INGRESS, "all"),
        iam_check=annotations.get(IAM_CHECK_OFF) != "true",
        default_url=annotations.get(DEFAULT_URL_OFF, "").lower() != "true",
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
