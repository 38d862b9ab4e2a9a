"""Namespaces as elements: made, turned into routers, and let go with everything inside."""

from collections.abc import Callable, Mapping, Sequence

from fogbank.dataplane.linux.groups import Errors, one_by_one
from fogbank.dataplane.linux.net.namespaces import NetworkNamespaces
from fogbank.errors import DriverError
from fogbank.network.topology import Element, Key, NetnsName, NetworkNamespace
from fogbank.planning.plan import Action

EachNetns = Callable[[NetnsName], None]


class NamespaceElements:
    """The namespaces that a topology asked for.

    ``made`` is called for each new one (OSError lets it go again), ``leaving`` before one is let go:
    everything inside must end then, because an open socket keeps its namespace alive.
    """

    kinds = (NetworkNamespace,)

    def __init__(self, namespaces: NetworkNamespaces, made: EachNetns, leaving: EachNetns) -> None:
        self._namespaces = namespaces
        self._tell_made, self._tell_leaving = made, leaving
        self._built: dict[Key, NetworkNamespace] = {}

    def apply(self, actions: Sequence[Action]) -> Errors:
        """Make, change and let go."""
        return one_by_one({NetworkNamespace: self}, actions)

    def observe(self) -> Mapping[Key, Element]:
        """Return the namespaces that were made."""
        return self._built

    def forget(self, netns: NetnsName) -> None:
        """Forget a namespace."""
        self._built.pop(NetworkNamespace(netns).key, None)

    def close(self) -> None:
        """Let every namespace go."""
        self._namespaces.close()

    def create(self, element: NetworkNamespace) -> None:
        """Make a namespace; DriverError when it is there already."""
        if element.name in self._namespaces:
            raise DriverError(f"the namespace {element.name} is there already")
        self._namespaces.create(element.name, forwards=element.forwards, delegated=element.delegated)
        try:
            self._tell_made(element.name)
        except OSError:
            self._namespaces.remove(element.name)
            raise
        self._built[element.key] = element

    def replace(self, old: NetworkNamespace, new: NetworkNamespace) -> None:
        """Turn an endpoint into a router, or a router into an endpoint; DriverError for another owner."""
        if old.delegated != new.delegated:
            raise DriverError(f"the namespace {new.name} cannot get another owner while it is there")
        self._namespaces.set_forwarding(new.name, forwards=new.forwards)
        self._built[new.key] = new

    def remove(self, element: NetworkNamespace) -> None:
        """End everything inside and let the namespace go."""
        self._tell_leaving(element.name)
        self._namespaces.remove(element.name)
