"""What health checks saw of endpoints: kept while the region runs, by backend service and endpoint.

The controller that probes writes it; the API's ``getHealth`` reads it. An endpoint that nobody has judged yet
is unhealthy, as Google has it until the first probes have passed.
"""

from dataclasses import dataclass, field

from fogbank.resources.consoles import Consoles
from fogbank.resources.load_balancing import Endpoint
from fogbank.resources.names import ResourceName

Key = tuple[ResourceName, Endpoint]
"""A health check, and the endpoint that it looks at."""


@dataclass(slots=True)
class BackendHealth:
    """Which endpoints are healthy by which health check, and ``why`` one is not."""

    healthy: set[Key] = field(default_factory=set)
    why: dict[Key, str] = field(default_factory=dict)

    def is_healthy(self, check: ResourceName, endpoint: Endpoint) -> bool:
        """Return whether an endpoint passes a health check."""
        return (check, endpoint) in self.healthy

    def note(self, key: Key, *, healthy: bool, why: str = "") -> bool:
        """Take a verdict; return whether it is a new one."""
        before = key in self.healthy
        if healthy:
            self.healthy.add(key)
            self.why.pop(key, None)
        else:
            self.healthy.discard(key)
            self.why[key] = why
        return before != healthy

    def forget(self, key: Key) -> None:
        """Let go of an endpoint that nobody checks any more."""
        self.healthy.discard(key)
        self.why.pop(key, None)


@dataclass(frozen=True, slots=True)
class ComputeBackend:
    """What compute's methods about more than the World work on: serial ports, and what health checks saw."""

    consoles: Consoles
    health: BackendHealth
