"""What one Google API gives the region: its methods, its part of the network, what it does while it runs.

Each package below ``fogbank.services`` has one, in its module ``manifest``; ``registry`` has them all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fogbank.control.controller import Controller, Runtime
from fogbank.lowering.feature import Feature
from fogbank.services.contract import Service


@dataclass(frozen=True, slots=True)
class Manifest:
    """One API, composed.

    ``features`` lower what the API attaches to networks; ``controller`` makes what works while the region
    runs, ``companions`` further controllers, each with a name of its own; ``servers`` are the programs behind
    listeners that its features place in the network, by the name that the listener has. ``backend`` gives
    what its methods about more than the World work on.
    """

    service: Service
    features: tuple[Feature, ...] = ()
    controller: Callable[[Runtime], Controller] | None = None
    companions: tuple[Callable[[Runtime], Controller], ...] = ()
    backend: Callable[[Runtime], Any] | None = None
    servers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
