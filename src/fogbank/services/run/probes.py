"""Probes of a container: their defaults, and what of them is refused.

See behaviour/cloud-run.md#deployment.
"""

import re
from typing import Any

from fogbank.resources.world import Json
from fogbank.services.run.objects import bad_request, without_empty

_MOST_SECONDS = {"startupProbe": 240, "livenessProbe": 3600, "readinessProbe": 3600}
"""Seconds that a probe's times may be."""

PROBES = tuple(_MOST_SECONDS)

_ACTIONS = ("tcpSocket", "httpGet", "grpc")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]{0,4096}")


def probe_in(container: Json, which: str) -> Json:
    """Read a probe without what is not set; an empty action (``grpc: {}``) is one all the same."""
    probe: Json = container.get(which) or {}
    actions = {each: probe[each] for each in _ACTIONS if probe.get(each) is not None}
    return without_empty(probe) | actions


def complete_probe(probe: Json, port: int | None, which: str) -> Json:
    """Fill in a probe: without a port it tries the container's; a sidecar that has none keeps it unset.

    ``which`` is one of ``PROBES``; only a readiness probe has to pass more than once.
    """
    action = next((a for a in _ACTIONS if a in probe), "tcpSocket")
    usual = {"port": port} if port else {}
    return {
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "failureThreshold": 3,
        **({"successThreshold": 2} if which == "readinessProbe" else {}),
        **probe,
        action: {**usual, **without_empty(probe.get(action) or {})},
    }


def default_startup_probe(port: int) -> Json:
    """Return the probe of a container that answers requests and has none: it has to listen."""
    return {
        "timeoutSeconds": 240,
        "periodSeconds": 240,
        "failureThreshold": 1,
        "tcpSocket": {"port": port},
    }


def check_probes(container: Json, where: str) -> None:
    """Refuse the probes of a completed container that nobody could carry out."""
    for which in PROBES:
        if which in container:
            _check_probe(container[which], f"{where}.{which}", which)


def _check_probe(probe: Json, where: str, which: str) -> None:
    if "exec" in probe:
        raise bad_request("Exec probes are not supported by Cloud Run.")
    if which == "readinessProbe" and "tcpSocket" in probe:
        raise bad_request(f"{where}.tcp_socket: TCP probes are not supported as readiness probes.")
    _check_times(probe, where, _MOST_SECONDS[which])
    if which != "readinessProbe" and int(probe.get("successThreshold", 1)) != 1:
        raise bad_request(f"{where}.success_threshold: must be 1 for a probe that is no readiness probe.")
    action = next(each for each in _ACTIONS if each in probe)
    port = probe[action].get("port")
    if port is None:
        raise bad_request(f"{where}.{_snake(action)}.port: must be set for a container without a port.")
    if not 1 <= int(port) <= 65535:
        raise bad_request(f"{where}.{_snake(action)}.port: {port} must be between 1 and 65535.")
    http: Json = probe.get("httpGet", {})
    _check_headers(http.get("httpHeaders") or (), f"{where}.httpGet.httpHeaders")
    path = http.get("path", "/")
    if not path.startswith("/"):
        raise bad_request(f"{where}.httpGet.path: '{path}' must begin with '/'.")


def _check_times(probe: Json, where: str, most: int) -> None:
    limits = {
        "initialDelaySeconds": (0, most),
        "timeoutSeconds": (1, most),
        "periodSeconds": (1, most),
        "failureThreshold": (1, 1000),
        "successThreshold": (1, 1000),
    }
    for key, (least, greatest) in limits.items():
        if not least <= int(probe.get(key, least)) <= greatest:
            raise bad_request(f"{where}.{key}: must be between {least} and {greatest}.")


def _check_headers(headers: Any, where: str) -> None:
    """Refuse what could not be written as a header of HTTP (RFC 9110, section 5)."""
    for header in headers:
        name, value = header.get("name", ""), header.get("value", "")
        if not _HEADER_NAME.fullmatch(name):
            raise bad_request(f"{where}: '{name}' is not a header's name.")
        if not _HEADER_VALUE.fullmatch(value):
            raise bad_request(f"{where}: the value of '{name}' has characters that a header cannot have.")


def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda found: f"_{found[1].lower()}", name)
