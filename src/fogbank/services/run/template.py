"""A revision's template: Google's defaults filled in, and everything refused that no instance could keep.

What a client may write and this region cannot do yet is refused by name instead of being stored without
effect (volumes, secrets, sidecars, …).
"""

import re
from collections.abc import Set as AbstractSet
from typing import Any

from fogbank.errors import not_built
from fogbank.resources.authorization import cannot_act_as
from fogbank.resources.direct_vpc import NETWORK_INTERFACES
from fogbank.resources.images import parse_image
from fogbank.resources.names import ResourceName
from fogbank.resources.projects import (
    account_policy_name,
    find_account,
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
from fogbank.resources.world import Json, World
from fogbank.services.contract import Call
from fogbank.services.run.connectors import connector_missing_message, has_connector
from fogbank.services.run.direct_vpc import check_direct_vpc
from fogbank.services.run.limits import check_limits
from fogbank.services.run.objects import bad_request, without_empty

DEFAULT_LIMITS = {"cpu": "1000m", "memory": "512Mi"}
DEFAULT_CONCURRENCY = 80
DEFAULT_TIMEOUT = 300
MAX_TIMEOUT = 3600
MAX_CONCURRENCY = 1000
MAX_NAME = 63

_MOST_STARTUP, _MOST_LIVENESS = 240, 3600
"""Seconds that a probe's times may be (behaviour/cloud-run.md#deployment)."""

_ACTIONS = ("tcpSocket", "httpGet", "grpc")
_REVISION = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_ENVIRONMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_COUNT = re.compile(r"[0-9]{1,9}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]{0,4096}")
_PORTS = "spec.template.spec.containers[0].ports[0]"
_RESERVED = frozenset({"PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION"})

_LATER_ANNOTATIONS = {
    "run.googleapis.com/cloudsql-instances": "Cloud SQL connections",
    "run.googleapis.com/secrets": "secrets",
    "run.googleapis.com/encryption-key": "customer-managed encryption keys",
    "run.googleapis.com/container-dependencies": "sidecar containers",
}
_LATER_FIELDS = {
    "volumes": "volumes",
    "imagePullSecrets": "image pull secrets",
    "sandboxes": "sandboxes",
}
_LATER_CONTAINER_FIELDS = {
    "readinessProbe": "readiness probes",
    "volumeMounts": "volumes",
    "envFrom": "environment from other objects",
}


def complete(template: Json, account: str) -> Json:
    """Fill in the defaults of a template, ``account`` among them; nothing is checked.

    See behaviour/cloud-run.md#revisions.
    """
    metadata: Json = template.get("metadata") or {}
    spec: Json = template.get("spec") or {}
    containers = [_complete_container(c) for c in spec.get("containers") or ()]
    return {
        "metadata": without_empty({key: metadata.get(key) for key in ("name", "labels", "annotations")}),
        "spec": without_empty(spec)
        | {
            "containerConcurrency": spec.get("containerConcurrency") or _concurrency(containers),
            "timeoutSeconds": spec.get("timeoutSeconds") or DEFAULT_TIMEOUT,
            "serviceAccountName": spec.get("serviceAccountName") or account,
            "containers": containers,
        },
    }


def _complete_container(container: Json) -> Json:
    port = ((container.get("ports") or [{}])[0]).get("containerPort") or 8080
    name = ((container.get("ports") or [{}])[0]).get("name") or "http1"
    probe = probe_in(container, "startupProbe") or {
        "timeoutSeconds": 240,
        "periodSeconds": 240,
        "failureThreshold": 1,
        "tcpSocket": {"port": port},
    }
    liveness = probe_in(container, "livenessProbe")
    return without_empty(container) | {
        **({"livenessProbe": complete_probe(liveness, port)} if liveness else {}),
        "ports": [{"name": name, "containerPort": port}],
        "resources": complete_resources(container),
        "startupProbe": complete_probe(probe, port),
    }


def complete_resources(container: Json) -> Json:
    """Fill in the default limits of a container (behaviour/cloud-run.md#revisions)."""
    limits: Json = without_empty((container.get("resources") or {}).get("limits") or {})
    return {"limits": DEFAULT_LIMITS | limits}


def probe_in(container: Json, which: str) -> Json:
    """Read a probe without what is not set; an empty action (``grpc: {}``) is one all the same."""
    probe: Json = container.get(which) or {}
    actions = {each: probe[each] for each in _ACTIONS if probe.get(each) is not None}
    return without_empty(probe) | actions


def complete_probe(probe: Json, port: int) -> Json:
    """Fill in a probe: without a port it tries the container's (behaviour/cloud-run.md#deployment)."""
    action = next((a for a in _ACTIONS if a in probe), "tcpSocket")
    return {
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "failureThreshold": 3,
        **probe,
        action: {"port": port, **without_empty(probe.get(action) or {})},
    }


def _concurrency(containers: list[Json]) -> int:
    """Choose the default: 80, but 1 for less than a whole CPU (behaviour/cloud-run.md#revisions)."""
    try:
        small = bool(containers) and cpu_millis(containers[0]["resources"]["limits"]["cpu"]) < 1000
    except ValueError:
        small = False
    return 1 if small else DEFAULT_CONCURRENCY


def check(world: World, call: Call, service: ResourceName, template: Json) -> None:
    """Refuse a completed template that could not become a revision of ``service``."""
    metadata, spec = template["metadata"], template["spec"]
    annotations: Json = metadata.get("annotations", {})
    check_environment(world, call, service, annotations, spec)
    check_direct_vpc(world, call, service, annotations)
    _check_revision_name(service, metadata.get("name"))
    check_scale(annotations, MIN_SCALE, MAX_SCALE)
    container = only_container(spec["containers"])
    check_container(container)
    _check_port(container["ports"][0])
    if not 1 <= spec["containerConcurrency"] <= MAX_CONCURRENCY:
        raise bad_request(
            f"spec.template.spec.containerConcurrency: should be between 1 and {MAX_CONCURRENCY} inclusive"
        )
    check_limits(container["resources"]["limits"], spec["containerConcurrency"])
    if not 1 <= spec["timeoutSeconds"] <= MAX_TIMEOUT:
        raise bad_request(
            f"spec.template.spec.timeoutSeconds: should be between 1 and {MAX_TIMEOUT} inclusive"
        )
    check_account(world, call, spec["serviceAccountName"])


def check_environment(world: World, call: Call, owner: ResourceName, annotations: Json, spec: Json) -> None:
    """Refuse what nothing that Cloud Run starts for ``owner`` could have around its containers."""
    _check_vpc(world, call, owner, annotations)
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


def only_container(containers: list[Json]) -> Json:
    """Return the one container; sidecars are not built yet."""
    if not containers:
        raise bad_request("Revision template should have at least one container.")
    if len(containers) > 1:
        raise not_built("sidecar containers of Cloud Run")
    return containers[0]


def check_container(container: Json, reserved: AbstractSet[str] = _RESERVED) -> None:
    """Refuse a container that could not run; ``reserved`` are the variables that Cloud Run sets itself."""
    if not container.get("image"):
        raise bad_request("spec.template.spec.containers[0].image: the image must be set.")
    _check_image(container["image"])
    for key, what in _LATER_CONTAINER_FIELDS.items():
        if container.get(key):
            raise not_built(f"{what} of Cloud Run (containers[0].{key})")
    _check_variables(container.get("env", ()), reserved)
    if "startupProbe" in container:
        _check_probe(container["startupProbe"], "startupProbe", _MOST_STARTUP)
    if "livenessProbe" in container:
        _check_probe(container["livenessProbe"], "livenessProbe", _MOST_LIVENESS)


def _check_image(image: str) -> None:
    """Refuse what can be no image, in Google's words (recorded: ko-build/terraform-provider-ko#205)."""
    try:
        parse_image(image)
    except ValueError:
        raise bad_request(
            "spec.template.spec.containers[0].image: Expected an image path like [host/]repo-path[:tag "
            "and/or @digest], where host is one of [region.]gcr.io, [region-]docker.pkg.dev or docker.io "
            f"but obtained {image}."
        ) from None


def _check_port(port: Json) -> None:
    if not 1 <= port["containerPort"] <= 65535:
        raise bad_request(f"{_PORTS}.containerPort: {port['containerPort']} must be between 1 and 65535.")
    if port["name"] == "h2c":
        raise not_built("end-to-end HTTP/2 of Cloud Run (port name h2c)")
    if port["name"] != "http1":
        raise bad_request(f"{_PORTS}.name: '{port['name']}' must be http1 or h2c.")


def _check_variables(variables: Any, reserved: AbstractSet[str]) -> None:
    for variable in variables:
        if variable.get("valueFrom"):
            raise not_built("secrets in the environment of Cloud Run")
        name = variable.get("name", "")
        if not _ENVIRONMENT.fullmatch(name):
            raise bad_request(f"spec.template.spec.containers[0].env: '{name}' is not a valid name.")
        if name in reserved:
            raise bad_request(
                "spec.template.spec.containers[0].env: The following reserved env names were provided: "
                f"{name}. These values are automatically set by the system."
            )


def _check_probe(probe: Json, which: str, most_seconds: int) -> None:
    where = f"spec.template.spec.containers[0].{which}"
    if "exec" in probe:
        raise bad_request("Exec probes are not supported by Cloud Run.")
    if "grpc" in probe:
        raise not_built("gRPC probes of Cloud Run")
    limits = {
        "initialDelaySeconds": (0, most_seconds),
        "timeoutSeconds": (1, most_seconds),
        "periodSeconds": (1, most_seconds),
        "failureThreshold": (1, 1000),
    }
    for key, (least, most) in limits.items():
        if not least <= int(probe.get(key, least)) <= most:
            raise bad_request(f"{where}.{key}: must be between {least} and {most}.")
    action: Json = probe.get("httpGet", {})
    _check_probe_headers(action.get("httpHeaders") or (), f"{where}.httpGet.httpHeaders")
    path = action.get("path", "/")
    if not path.startswith("/"):
        raise bad_request(f"{where}.httpGet.path: '{path}' must begin with '/'.")


def _check_probe_headers(headers: Any, where: str) -> None:
    """Refuse what could not be written as a header of HTTP (RFC 9110, section 5)."""
    for header in headers:
        name, value = header.get("name", ""), header.get("value", "")
        if not _HEADER_NAME.fullmatch(name):
            raise bad_request(f"{where}: '{name}' is not a header's name.")
        if not _HEADER_VALUE.fullmatch(value):
            raise bad_request(f"{where}: the value of '{name}' has characters that a header cannot have.")


def _may_use(world: World, call: Call, connector: ResourceName, project: str) -> bool:
    """Return whether services of ``project`` may use a connector: their own, or one shared with them.

    Another project shares one with Cloud Run's agent of this project by roles/vpcaccess.user.

    See behaviour/iam.md#roles.
    """
    if connector.project == project:
        return True
    agent = service_agent(project_number(world, project))
    return any(
        call.access.allows(world, who, "vpcaccess.connectors.use", connector.project)
        for who in (agent, call.principal)
    )


def check_account(world: World, call: Call, email: str) -> None:
    """Refuse a service account that the caller may not act as."""
    account = find_account(world, email)
    if account is None:
        raise cannot_act_as(email)
    beside = account_policy_name(account.name)
    project = account.name.project
    if not call.access.allows(world, call.principal, "iam.serviceAccounts.actAs", project, beside):
        raise cannot_act_as(email)
