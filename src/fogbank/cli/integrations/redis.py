"""The integration ``redis``: a BASIC instance in the network ``default``, and a service that has its address.

gcloud had the server-side API runapps do this; here the command makes the same calls as the caller. What
belongs together is found by labels of the instance, so nothing is kept beside the resources.
"""

import secrets
import time
from collections.abc import Callable
from typing import Any

from fogbank.cli.integrations import service as services
from fogbank.cli.integrations.client import ApiClient, Json
from fogbank.errors import OperatorError

TYPE = "redis"
PARAMETER = "memory-size-gb"
_INTEGRATION, _SERVICE = "run-integration", "run-service"
_REDIS = "https://redis.googleapis.com/v1"
_MINUTES = 600.0
_SMALLEST_GB, _LARGEST_GB = 1, 300

Tell = Callable[[str], None]


def memory_size(parameters: dict[str, str]) -> int:
    """Read the one parameter; OperatorError names one that does not exist or is no size."""
    if unknown := sorted(parameters.keys() - {PARAMETER}):
        raise OperatorError(f"[{unknown[0]}] is not a parameter of type [{TYPE}]. It has: {PARAMETER}")
    text = parameters.get(PARAMETER, "1")
    if not text.isdigit() or not _SMALLEST_GB <= int(text) <= _LARGEST_GB:
        raise OperatorError(f"{PARAMETER} is a number from {_SMALLEST_GB} to {_LARGEST_GB}, not {text!r}.")
    return int(text)


class RedisIntegrations:
    """The integrations of a region's project in ``place``."""

    def __init__(self, client: ApiClient, place: str, tell: Tell) -> None:
        self._client, self._place, self._tell = client, place, tell
        self._instances = f"projects/{client.project}/locations/{place}/instances"

    def create(self, service: str, size: int, name: str = "") -> str:
        """Make an instance, connect ``service`` to it, and return the integration's name."""
        name = name or f"{TYPE}-{secrets.token_hex(3)}"
        if self._client.find(f"{_REDIS}/{self._instances}/{name}") is not None:
            raise OperatorError(
                f"Integration with name [{name}] already exists. Update it with "
                f"`fogbank run integrations update {name}`."
            )
        services.connected(self._service(service), "", 0)  # refused before anything is made
        self._tell("Saving Configuration for Integration...")
        self._tell("Configuring Redis Instance...")
        body = {
            "tier": "BASIC",
            "memorySizeGb": size,
            "authorizedNetwork": f"projects/{self._client.project}/global/networks/{services.NETWORK}",
            "connectMode": "DIRECT_PEERING",
            "labels": {_INTEGRATION: name, _SERVICE: service},
        }
        made = self._operation("POST", f"{self._instances}?instanceId={name}", body)
        self._tell("Configuring Cloud Run Service...")
        self._replace(service, lambda found: services.connected(found, made["host"], int(made["port"])))
        return name

    def update(self, name: str, size: int) -> None:
        """Change the size of an integration's instance."""
        self.describe(name)
        self._tell("Configuring Redis Instance...")
        self._operation("PATCH", f"{self._instances}/{name}?updateMask=memorySizeGb", {"memorySizeGb": size})

    def delete(self, name: str) -> None:
        """Take an integration away: the service forgets the instance, and that goes."""
        found = self.describe(name)
        if self._client.find(self._url(found["service"])) is not None:
            self._tell("Configuring Cloud Run Service...")
            self._replace(found["service"], services.disconnected)
        self._tell("Deleting Redis Instance...")
        self._operation("DELETE", f"{self._instances}/{name}")

    def list(self) -> list[dict[str, Any]]:
        """List the integrations, by name."""
        found = self._client.call("GET", f"{_REDIS}/{self._instances}").get("instances", [])
        return [_shown(each, self._place) for each in found if _INTEGRATION in each.get("labels", {})]

    def describe(self, name: str) -> dict[str, Any]:
        """Show one; OperatorError when there is none of this name."""
        found = self._client.find(f"{_REDIS}/{self._instances}/{name}")
        if found is None or _INTEGRATION not in found.get("labels", {}):
            raise OperatorError(
                f"Integration [{name}] cannot be found. First create an integration with "
                "`fogbank run integrations create`."
            )
        return _shown(found, self._place)

    def _operation(self, verb: str, path: str, body: Json | None = None) -> Json:
        operation = self._client.call(verb, f"{_REDIS}/{path}", body)
        answer: Json = self._client.wait(_REDIS, operation, _MINUTES).get("response", {})
        return answer

    def _url(self, service: str) -> str:
        knative = "apis/serving.knative.dev/v1/namespaces"
        return f"https://{self._place}-run.googleapis.com/{knative}/{self._client.project}/services/{service}"

    def _service(self, service: str) -> Json:
        found = self._client.find(self._url(service))
        if found is None:
            raise OperatorError(f"Service [{service}] could not be found in region [{self._place}].")
        return found

    def _replace(self, service: str, change: Callable[[Json], Json]) -> None:
        """Deploy a changed service, and wait until its new revision serves."""
        url = self._url(service)
        deployed = self._client.call("PUT", url, change(self._service(service)))
        until = time.monotonic() + _MINUTES
        while (serves := services.ready(deployed)) is None:
            if time.monotonic() > until:
                raise OperatorError(
                    f"Service [{service}] is not ready. `fogbank status` says what is missing."
                )
            time.sleep(0.1)
            deployed = self._client.call("GET", url)
        if not serves:
            raise OperatorError(f"Service [{service}] is not ready: {services.message(deployed)}")


def _shown(instance: Json, place: str) -> dict[str, Any]:
    labels = instance["labels"]
    return {
        "name": labels[_INTEGRATION],
        "type": TYPE,
        "region": place,
        "service": labels[_SERVICE],
        "memorySizeGb": instance["memorySizeGb"],
        "host": instance.get("host", ""),
        "port": instance.get("port", 0),
        "state": instance["state"],
    }
