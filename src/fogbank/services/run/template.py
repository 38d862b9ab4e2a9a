"""A revision's template: Google's defaults filled in, and everything refused that no instance could keep.

What a client may write and this region cannot do yet is refused by name instead of being stored without
effect (GPUs, Cloud SQL connections, …). Containers and volumes have modules of their own.
"""

import re

from fogbank.errors import not_built
from fogbank.resources.authorization import check_acts_as
from fogbank.resources.direct_vpc import NETWORK_INTERFACES
from fogbank.resources.names import ResourceName
from fogbank.resources.projects import (
    project_number,
    service_agent,
)
from fogbank.resources.quantities import cpu_millis
from fogbank.resources.run import (
    CONNECTOR,
    MAX_SCALE,
    MIN_SCALE,
    connector_name,
    read_egress,
)
from fogbank.resources.run_containers import SECRET_ALIASES, cloud_sql_connections
from fogbank.resources.world import Json, World
from fogbank.services.contract import Call
from fogbank.services.run.connectors import connector_missing_message, has_connector
from fogbank.services.run.containers import check_containers, complete_containers
from fogbank.services.run.direct_vpc import check_direct_vpc
from fogbank.services.run.limits import check_all_limits
from fogbank.services.run.objects import bad_request, without_empty
from fogbank.services.run.secret_references import check_aliases
from fogbank.services.run.volumes import check_cloud_sql, check_mounts, check_volumes, complete_volumes

DEFAULT_CONCURRENCY = 80
DEFAULT_TIMEOUT = 300
MAX_TIMEOUT = 3600
MAX_CONCURRENCY = 1000
MAX_NAME = 63

_REVISION = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_COUNT = re.compile(r"[0-9]{1,9}")
_LATER_ANNOTATIONS = {
    "run.googleapis.com/encryption-key": "customer-managed encryption keys",
}
_LATER_FIELDS = {
    "imagePullSecrets": "image pull secrets",
    "sandboxes": "sandboxes",
}


def complete(template: Json, account: str) -> Json:
    """Fill in the defaults of a template, ``account`` among them; nothing is checked.

    See behaviour/cloud-run.md#revisions.
    """
    metadata: Json = template.get("metadata") or {}
    spec: Json = template.get("spec") or {}
    containers = complete_containers(spec.get("containers") or [])
    volumes = complete_volumes(spec.get("volumes") or [])
    return {
        "metadata": without_empty({key: metadata.get(key) for key in ("name", "labels", "annotations")}),
        "spec": without_empty(spec)
        | {
            "containerConcurrency": spec.get("containerConcurrency") or _concurrency(containers),
            "timeoutSeconds": spec.get("timeoutSeconds") or DEFAULT_TIMEOUT,
            "serviceAccountName": spec.get("serviceAccountName") or account,
            "containers": containers,
            **({"volumes": volumes} if volumes else {}),
        },
    }


def _concurrency(containers: list[Json]) -> int:
    """Choose the default: 80, but 1 for less than a whole CPU (behaviour/cloud-run.md#revisions)."""
    try:
        small = bool(containers) and _total_cpu(containers) < 1000
    except ValueError:
        small = False
    return 1 if small else DEFAULT_CONCURRENCY


def _total_cpu(containers: list[Json]) -> int:
    return sum(cpu_millis(each["resources"]["limits"]["cpu"]) for each in containers)


def check(world: World, call: Call, service: ResourceName, template: Json) -> None:
    """Refuse a completed template that could not become a revision of ``service``."""
    metadata, spec = template["metadata"], template["spec"]
    annotations: Json = metadata.get("annotations", {})
    check_environment(world, call, service, annotations, spec)
    _check_revision_name(service, metadata.get("name"))
    check_scale(annotations, MIN_SCALE, MAX_SCALE)
    containers, volumes = spec["containers"], spec.get("volumes", [])
    check_containers(containers, annotations)
    check_volumes(volumes)
    check_mounts(containers, volumes)
    check_aliases(annotations.get(SECRET_ALIASES, ""))
    if not 1 <= spec["containerConcurrency"] <= MAX_CONCURRENCY:
        raise bad_request(
            f"spec.template.spec.containerConcurrency: should be between 1 and {MAX_CONCURRENCY} inclusive"
        )
    check_all_limits([each["resources"]["limits"] for each in containers], spec["containerConcurrency"])
    if not 1 <= spec["timeoutSeconds"] <= MAX_TIMEOUT:
        raise bad_request(
            f"spec.template.spec.timeoutSeconds: should be between 1 and {MAX_TIMEOUT} inclusive"
        )
    check_acts_as(call.access, world, call.principal, spec["serviceAccountName"])


def check_environment(world: World, call: Call, owner: ResourceName, annotations: Json, spec: Json) -> None:
    """Refuse what nothing that Cloud Run starts for ``owner`` could have around its containers."""
    _check_vpc(world, call, owner, annotations)
    check_direct_vpc(world, call, owner, annotations)
    check_cloud_sql(cloud_sql_connections(spec, annotations))
    for key, what in _LATER_ANNOTATIONS.items():
        if annotations.get(key):
            raise not_built(f"{what} of Cloud Run ({key})")
    for key, what in _LATER_FIELDS.items():
        if spec.get(key):
            raise not_built(f"{what} of Cloud Run (spec.template.spec.{key})")
    if "run.googleapis.com/accelerator" in spec.get("nodeSelector", {}):
        raise not_built("GPUs of Cloud Run")


def _check_vpc(world: World, call: Call, service: ResourceName, annotations: Json) -> None:
    try:
        read_egress(annotations)
    except ValueError as error:
        raise bad_request(
            f"Unsupported VPC egress: {error}. Use private-ranges-only or all-traffic."
        ) from None
    reference = annotations.get(CONNECTOR)
    if not reference:
        return
    if annotations.get(NETWORK_INTERFACES):
        raise bad_request("VPC connector and direct VPC can not be used together")
    name = connector_name(reference, service.project, service.region or "")
    if not _may_use(world, call, name, service.project) or not has_connector(world, name):
        raise bad_request(connector_missing_message(name))
    if name.region != service.region:
        raise bad_request(
            f"VPC connector {name.path} must be in the region of the service, {service.region}."
        )


def _check_revision_name(service: ResourceName, name: str | None) -> None:
    if name is None:
        return
    if not name.startswith(f"{service.id}-"):
        raise bad_request(
            f"Revision name '{name}' must start with the service's name and a hyphen: '{service.id}-'."
        )
    if not _REVISION.fullmatch(name) or len(name) > MAX_NAME:
        raise bad_request(
            f"Revision name '{name}' must have lower-case letters, digits and hyphens, at most {MAX_NAME}."
        )


def check_scale(annotations: Json, low: str, high: str) -> None:
    """Refuse annotations ``low`` and ``high`` that are no numbers, or the wrong way round (400)."""
    counts = {}
    for key, least in ((low, 0), (high, 1)):
        value = str(annotations.get(key, least))
        if not _COUNT.fullmatch(value) or int(value) < least:
            raise bad_request(f"Invalid {key} value '{value}': it must be a number of at least {least}.")
        counts[key] = int(value)
    if high in annotations and counts[low] > counts[high]:
        raise bad_request(f"{low} {counts[low]} must not be greater than {high} {counts[high]}.")


def _may_use(world: World, call: Call, connector: ResourceName, project: str) -> bool:
    """Return whether services of ``project`` may use a connector: their own, or one shared with them.

    Another project shares one with Cloud Run's agent of this project by roles/vpcaccess.user.

    See behaviour/iam.md#roles.
    """
    if connector.project == project:
        return True
    agent = service_agent(project_number(world, project))
    beside = ResourceName("vpcaccess.policies", connector.path)
    return any(
        call.access.allows(world, who, "vpcaccess.connectors.use", connector.project, beside)
        for who in (agent, call.principal)
    )
