"""Direct VPC egress in a template: what is refused of it, the same for both APIs.

`template` asks here before a template becomes a revision; the words are Knative's, which v2 translates. The
surprising fact: a subnetwork that is too small is accepted, and fails when an instance starts
(behaviour/direct-vpc-egress.md#interfaces).
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Network

from fogbank.resources.compute import Subnetwork
from fogbank.resources.direct_vpc import (
    NETWORK_INTERFACES,
    DirectVpc,
    read_direct_vpc,
    read_interfaces,
    rules_of,
)
from fogbank.resources.names import ResourceName
from fogbank.resources.projects import project_number, service_agent
from fogbank.resources.run import DEFAULT_MAX_INSTANCES, MAX_SCALE
from fogbank.resources.shared_vpc import may_share
from fogbank.resources.world import Json, World
from fogbank.services.contract import Call
from fogbank.services.run.addresses import subnetwork_missing_message
from fogbank.services.run.objects import bad_request

LAUNCH_STAGE = "run.googleapis.com/launch-stage"

_FIELDS = frozenset({"network", "subnetwork", "tags"})
_TAG = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_MOST_TAGS = 64
_RANGES = tuple(
    map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "240.0.0.0/4"))
)
"""Where a subnetwork must be: RFC 1918, RFC 6598, class E (behaviour/direct-vpc-egress.md#interfaces)."""


def check_direct_vpc(world: World, call: Call, service: ResourceName, annotations: Json) -> None:
    """Refuse (400) a network interface that no instance of ``service`` could have; wording unverified."""
    text = annotations.get(NETWORK_INTERFACES)
    if not text:
        return
    try:
        found = read_interfaces(text)
    except (ValueError, RecursionError):
        raise bad_request(
            f"Invalid {NETWORK_INTERFACES} value '{text}': it must be a JSON list with one network interface."
        ) from None
    if len(found) != 1:
        raise bad_request(
            f"Invalid {NETWORK_INTERFACES} value '{text}': exactly one network interface is supported."
        )
    _check_fields(found[0], text)
    try:
        read = read_direct_vpc(annotations, service.project, service.region or "")
    except (ValueError, IndexError):
        raise bad_request(
            f"Invalid {NETWORK_INTERFACES} value '{text}': network and subnetwork must be names, or paths of "
            "a network and of a regional subnetwork."
        ) from None
    if read is not None:
        _check_place(world, call, service, read)
        _check_scale(world, annotations)


def _check_fields(one: Json, text: str) -> None:
    if others := one.keys() - _FIELDS:
        raise bad_request(f"Invalid {NETWORK_INTERFACES} value '{text}': unknown field {min(others)}.")
    for key in ("network", "subnetwork"):
        if not isinstance(one.get(key) or "", str):
            raise bad_request(f"Invalid {NETWORK_INTERFACES} value '{text}': {key} must be a string.")
    if not one.get("network") and not one.get("subnetwork"):
        raise bad_request(
            f"Invalid {NETWORK_INTERFACES} value '{text}': one of network and subnetwork must be set."
        )
    _check_tags(one.get("tags") or [], text)


def _check_tags(tags: object, text: str) -> None:
    if not isinstance(tags, Sequence) or isinstance(tags, str):
        raise bad_request(
            f"Invalid {NETWORK_INTERFACES} value '{text}': tags must be a list of network tags."
        )
    for tag in tags:
        if not isinstance(tag, str) or not _TAG.fullmatch(tag):
            raise bad_request(
                f"Invalid {NETWORK_INTERFACES} value '{text}': '{tag}' is no network tag. It begins with a "
                "lower-case letter, has lower-case letters, digits and hyphens, at most 63, and does not "
                "end with a hyphen."
            )
    if len(tags) > _MOST_TAGS or len(set(tags)) < len(tags):
        raise bad_request(
            f"Invalid {NETWORK_INTERFACES} value '{text}': at most {_MOST_TAGS} network tags, each once."
        )


def _check_place(world: World, call: Call, service: ResourceName, read: DirectVpc) -> None:
    region, name, network = service.region, read.subnetwork, read.network
    if network is not None and (world.find(network) is None or not _may_use(world, call, network, service)):
        raise bad_request(
            f"VPC network {network.path} does not exist, or Cloud Run does not have permission to use it."
        )
    if name.region != region:
        raise bad_request(f"VPC subnetwork {name.path} must be in the region of the service, {region}.")
    resource = world.find(name)
    if resource is None or not _may_use(world, call, name, service):
        raise bad_request(subnetwork_missing_message(name))
    subnetwork = Subnetwork.of(resource)
    if network is not None and subnetwork.network != network:
        raise bad_request(f"VPC subnetwork {name.path} is not in VPC network {network.path}.")
    if subnetwork.purpose != "PRIVATE":
        raise bad_request(f"VPC subnetwork {name.path} has purpose {subnetwork.purpose}: it must be PRIVATE.")
    if not any(subnetwork.range.subnet_of(each) for each in _RANGES):
        raise bad_request(
            f"VPC subnetwork {name.path} has the range {subnetwork.range}: it must be in "
            f"{', '.join(map(str, _RANGES))}."
        )


def _may_use(world: World, call: Call, name: ResourceName, service: ResourceName) -> bool:
    """Return whether ``service`` may use a network or subnetwork: its project's, or one shared with it.

    See behaviour/direct-vpc-egress.md#interfaces.
    """
    if name.project == service.project:
        return True
    if not may_share(world, name.project, service.project):
        return False
    permission = f"{name.collection}.{'use' if name.collection.endswith('.subnetworks') else 'get'}"
    agent = service_agent(project_number(world, service.project))
    beside = ResourceName(f"{name.service}.policies", name.path)
    return any(
        call.access.allows(world, who, permission, name.project, beside) for who in (agent, call.principal)
    )


def _check_scale(world: World, annotations: Json) -> None:
    """Refuse more instances than one service could have (behaviour/direct-vpc-egress.md#history)."""
    most = rules_of(world).most_instances
    wanted = annotations.get(MAX_SCALE, str(DEFAULT_MAX_INSTANCES))
    if most is not None and wanted.isdecimal() and int(wanted) > most:
        raise bad_request(
            f"Invalid {MAX_SCALE} value '{wanted}': with Direct VPC egress a service has at most {most} "
            "instances."
        )


def check_launch_stage(world: World, annotations: Json, template: Json) -> None:
    """Refuse a preview feature without its launch stage, as Google does; the feature's name is unverified."""
    used = template["metadata"].get("annotations", {}).get(NETWORK_INTERFACES)
    if used and rules_of(world).preview and annotations.get(LAUNCH_STAGE, "GA") not in {"BETA", "ALPHA"}:
        raise bad_request(
            "The feature 'Direct VPC egress' is not supported in the declared launch stage on Service. "
            "Please visit https://cloud.google.com/run/docs/troubleshooting#launch-stage-validation for "
            "in-depth troubleshooting documentation."
        )
