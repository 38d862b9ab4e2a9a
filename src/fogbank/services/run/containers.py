"""The containers of a template: Google's defaults filled in, and what none of them could be refused.

One container answers requests: the only one, or of several the one with a port. The others are sidecars in
the same network namespace (behaviour/cloud-run.md#sidecars).
"""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from fogbank.errors import not_built
from fogbank.resources.images import parse_image
from fogbank.resources.run import DEFAULT_PORT
from fogbank.resources.run_containers import DEPENDENCIES, ingress_container, read_dependencies
from fogbank.resources.world import Json
from fogbank.services.run.objects import bad_request, without_empty
from fogbank.services.run.probes import (
    PROBES,
    check_probes,
    complete_probe,
    default_startup_probe,
    probe_in,
)
from fogbank.services.run.secret_references import check_secret

DEFAULT_LIMITS = {"cpu": "1000m", "memory": "512Mi"}
MAX_CONTAINERS = 10
"""Of one instance (https://cloud.google.com/run/quotas)."""

RESERVED = frozenset({"PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION"})
"""Variables that Cloud Run sets itself; a sidecar may have a PORT of its own."""

_CONTAINERS = "spec.template.spec.containers"
_ENVIRONMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LATER = {"envFrom": "environment from other objects", "sandboxLauncher": "sandboxes"}


def complete_containers(containers: list[Json]) -> list[Json]:
    """Fill in the defaults of a template's containers."""
    if not containers:
        return []
    answers = ingress_container({"containers": containers})
    only = len(containers) == 1
    return [
        _complete_container(each, index, answers=each is answers, only=only)
        for index, each in enumerate(containers)
    ]


def _complete_container(container: Json, index: int, *, answers: bool, only: bool) -> Json:
    given: Json = (container.get("ports") or [{}])[0]
    port = (given.get("containerPort") or DEFAULT_PORT) if given or (answers and only) else None
    ports = [{"name": given.get("name") or "http1", "containerPort": port}] if port else None
    probes = {which: probe_in(container, which) for which in PROBES}
    if port:
        probes["startupProbe"] = probes["startupProbe"] or default_startup_probe(port)
    named = {} if only else {"name": container.get("name") or f"container-{index}"}
    return {key: value for key, value in without_empty(container).items() if key not in PROBES} | {
        **named,
        **({"ports": ports} if ports else {}),
        "resources": complete_resources(container),
        **{which: complete_probe(probe, port, which) for which, probe in probes.items() if probe},
    }


def complete_resources(container: Json) -> Json:
    """Fill in the default limits of a container (behaviour/cloud-run.md#revisions)."""
    limits: Json = without_empty((container.get("resources") or {}).get("limits") or {})
    return {"limits": DEFAULT_LIMITS | limits}


def check_containers(containers: list[Json], annotations: Mapping[str, str]) -> None:
    """Refuse containers that could not run together; exactly one of them has a port."""
    if not containers:
        raise bad_request("Revision template should have at least one container.")
    if len(containers) > MAX_CONTAINERS:
        raise bad_request(f"{_CONTAINERS}: must have at most {MAX_CONTAINERS} containers.")
    if sum(bool(each.get("ports")) for each in containers) != 1:
        raise bad_request(
            f"{_CONTAINERS}: Revision template should contain exactly one container with an exposed port."
        )
    for index, each in enumerate(containers):
        reserved = RESERVED if each.get("ports") else RESERVED - {"PORT"}
        check_container(each, f"{_CONTAINERS}[{index}]", reserved)
    for index, each in enumerate(containers):
        if each.get("ports"):
            _check_port(each["ports"][0], f"{_CONTAINERS}[{index}].ports[0]")
    if len(containers) > 1:
        _check_names([each["name"] for each in containers])
    _check_dependencies(annotations, [each.get("name", "") for each in containers])


def only_container(containers: list[Json]) -> Json:
    """Return the one container of a task: sidecars of jobs are not built yet."""
    if not containers:
        raise bad_request("Revision template should have at least one container.")
    if len(containers) > 1:
        raise not_built("sidecar containers of Cloud Run jobs")
    return containers[0]


def check_container(container: Json, where: str, reserved: AbstractSet[str] = RESERVED) -> None:
    """Refuse a container that could not run; ``reserved`` are the variables that Cloud Run sets itself."""
    if not container.get("image"):
        raise bad_request(f"{where}.image: the image must be set.")
    _check_image(container["image"], where)
    for key, what in _LATER.items():
        if container.get(key):
            raise not_built(f"{what} of Cloud Run (containers.{key})")
    folder = container.get("workingDir", "/")
    if not folder.startswith("/"):
        raise bad_request(f"{where}.working_dir: '{folder}' must be an absolute path.")
    _check_environment(container.get("env", ()), f"{where}.env", reserved)
    check_probes(container, where)


def _check_names(names: list[str]) -> None:
    for index, name in enumerate(names):
        if not _NAME.fullmatch(name):
            raise bad_request(f"{_CONTAINERS}[{index}].name: '{name}' is not a valid name of a container.")
        if names.count(name) > 1:
            raise bad_request(f"{_CONTAINERS}[{index}].name: the name '{name}' is used twice.")


def _check_dependencies(annotations: Mapping[str, str], names: list[str]) -> None:
    """Refuse an order of starts that has no beginning, or names what is not there."""
    try:
        waiting = {name: set(needed) for name, needed in read_dependencies(annotations).items()}
    except (ValueError, TypeError):
        raise bad_request(f"Invalid {DEPENDENCIES} value '{annotations[DEPENDENCIES]}'.") from None
    for name, needed in waiting.items():
        for each in (name, *needed):
            if each not in names:
                raise bad_request(f"{DEPENDENCIES}: there is no container '{each}'.")
    while waiting:
        startable = {name for name, needed in waiting.items() if not needed & waiting.keys()}
        if not startable:
            raise bad_request(f"{DEPENDENCIES}: the containers {', '.join(sorted(waiting))} form a cycle.")
        waiting = {name: needed for name, needed in waiting.items() if name not in startable}


def _check_image(image: str, where: str) -> None:
    """Refuse what can be no image, in Google's words (recorded: ko-build/terraform-provider-ko#205)."""
    try:
        parse_image(image)
    except ValueError:
        raise bad_request(
            f"{where}.image: Expected an image path like [host/]repo-path[:tag "
            "and/or @digest], where host is one of [region.]gcr.io, [region-]docker.pkg.dev or docker.io "
            f"but obtained {image}."
        ) from None


def _check_port(port: Json, where: str) -> None:
    if not 1 <= port["containerPort"] <= 65535:
        raise bad_request(f"{where}.containerPort: {port['containerPort']} must be between 1 and 65535.")
    if port["name"] not in {"http1", "h2c"}:
        raise bad_request(f"{where}.name: '{port['name']}' must be http1 or h2c.")


def _check_environment(variables: Any, where: str, reserved: AbstractSet[str]) -> None:
    for index, variable in enumerate(variables):
        name = variable.get("name", "")
        if not _ENVIRONMENT.fullmatch(name):
            raise bad_request(f"{where}: '{name}' is not a valid name.")
        if name in reserved:
            raise bad_request(
                f"{where}: The following reserved env names were provided: "
                f"{name}. These values are automatically set by the system."
            )
        if source := variable.get("valueFrom"):
            chosen: Json = source.get("secretKeyRef") or {}
            check_secret(
                chosen.get("name", ""), chosen.get("key"), f"{where}[{index}].value_from.secret_key_ref"
            )
