"""The services that Fogbank has, and which of Google's methods they handle.

Each package under ``fogbank.services`` offers its API as ``SERVICE``.
"""

import pkgutil
from collections.abc import Iterable
from importlib import import_module

from fogbank import services
from fogbank.discovery.routes import DiscoveryMethod, methods
from fogbank.discovery.tables import documents
from fogbank.frontend.api.operation_methods import OperationMethods
from fogbank.services.contract import Service


def registered() -> tuple[Service, ...]:
    """Load every service."""
    names = sorted(m.name for m in pkgutil.iter_modules(services.__path__) if m.ispkg)
    loaded = (import_module(f"fogbank.services.{name}") for name in names)
    return tuple(module.SERVICE for module in loaded if hasattr(module, "SERVICE"))


def handled(service: Service, method: DiscoveryMethod) -> bool:
    """Return whether ``service`` handles ``method``; the front end itself has the methods of operations."""
    keys = (f"{method.version}.{method.name}", method.name)
    return any(key in service.methods for key in keys) or OperationMethods.has(method)


def unknown_handlers(found: Iterable[Service]) -> list[str]:
    """List handlers of methods that Google does not have."""
    unknown = []
    for service in found:
        own = [d for d in documents().values() if d.api == service.name]
        known = {name for d in own for m in methods(d.name) for name in (m, f"{d.version}.{m}")}
        unknown += [f"{service.name}: {key}" for key in service.methods if key not in known]
    return unknown
