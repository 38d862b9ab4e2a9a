"""What an integration changes of a service, purely: its way into the network, and two variables."""

import copy
import json
from typing import Any

from fogbank.errors import OperatorError

Json = dict[str, Any]

INTERFACES = "run.googleapis.com/network-interfaces"
CONNECTOR = "run.googleapis.com/vpc-access-connector"
EGRESS = "run.googleapis.com/vpc-access-egress"
HOST, PORT = "REDISHOST", "REDISPORT"
NETWORK = "default"
"""Integrations used this network and no other."""


def connected(service: Json, host: str, port: int) -> Json:
    """Give a Knative service Direct VPC egress and the address of its Redis.

    OperatorError when it has a way into a network already: that had to be cleared first.
    """
    changed = _changeable(service)
    annotations = changed["spec"]["template"]["metadata"].setdefault("annotations", {})
    name = changed["metadata"]["name"]
    if annotations.get(CONNECTOR):
        raise _uncleared(name, "--clear-vpc-connector")
    if annotations.get(INTERFACES):
        raise _uncleared(name, "--clear-network")
    annotations[INTERFACES] = json.dumps([{"network": NETWORK, "subnetwork": NETWORK}])
    annotations[EGRESS] = "private-ranges-only"
    _container(changed)["env"] = [*_other_variables(changed), *_variables(host, port)]
    return changed


def disconnected(service: Json) -> Json:
    """Take from a service what :func:`connected` gave it."""
    changed = _changeable(service)
    annotations = changed["spec"]["template"]["metadata"].get("annotations", {})
    for key in (INTERFACES, EGRESS):
        annotations.pop(key, None)
    _container(changed)["env"] = _other_variables(changed)
    return changed


def ready(service: Json) -> bool | None:
    """Return whether the newest generation serves; None while that is not known yet."""
    status = service.get("status", {})
    if status.get("observedGeneration") != service["metadata"]["generation"]:
        return None
    (found,) = (each for each in status["conditions"] if each["type"] == "Ready")
    return {"True": True, "False": False}.get(found["status"])


def message(service: Json) -> str:
    """Return why a service is not ready."""
    (found,) = (each for each in service["status"]["conditions"] if each["type"] == "Ready")
    return str(found.get("message", ""))


def _changeable(service: Json) -> Json:
    changed = copy.deepcopy(service)
    changed.pop("status", None)
    changed["spec"]["template"]["metadata"].pop("name", None)  # the next revision has its own
    return changed


def _container(service: Json) -> Json:
    found: Json = service["spec"]["template"]["spec"]["containers"][0]
    return found


def _other_variables(service: Json) -> list[Json]:
    return [each for each in _container(service).get("env", []) if each["name"] not in {HOST, PORT}]


def _variables(host: str, port: int) -> list[Json]:
    return [{"name": HOST, "value": host}, {"name": PORT, "value": str(port)}]


def _uncleared(service: str, option: str) -> OperatorError:
    return OperatorError(
        f"Service [{service}] has settings of its own for a VPC network. Clear them first: "
        f"gcloud run services update {service} {option}"
    )
