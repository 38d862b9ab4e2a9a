"""The compiler: the whole World and the fleet, as the network that should exist.

It knows no feature by name: features say what each source adds, networks are lowered from what was added to
them, and the fragments are put together. A feature that raises, or claims what another one has, fails alone:
that is noted with the resources that wait for it, and everything else is lowered. The compiler remembers the
last pass as one immutable value, so that a pass costs what changed since, a preview is a pass whose value is
thrown away, and both may run in any thread. The surprising fact: memory never shows. A compiler that has seen
a thousand Worlds gives what a new one gives.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from immutables import Map, MapMutation

from fogbank.lowering.changes import changed_instances, changed_resources
from fogbank.lowering.endpoints import Endpoint
from fogbank.lowering.feature import NOTHING, Contribution, Feature, NetworkContext, Source
from fogbank.lowering.fragments import Fragment, Lowered, UnitKey
from fogbank.lowering.members import Members, SourceKey
from fogbank.lowering.vpc_networks import Changes, Surroundings, VpcNetwork, failed_network, lower_network
from fogbank.network.topology import Topology
from fogbank.resources.fleet import Fleet, Instance
from fogbank.resources.names import ResourceName
from fogbank.resources.world import World

K = TypeVar("K")
V = TypeVar("V")

_REGION, _INSTANCES, _SHARED = 0, 2, 3
"""Stages of lowering; networks are 1."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A source as it was read last, and what it adds: nothing when its feature ``failed``."""

    source: Source
    contribution: Contribution
    failed: bool = False


@dataclass(frozen=True, slots=True)
class _State:
    """A pass: what was compiled, and everything that the next one can use again.

    ``readers`` are the sources that look a resource up, ``sharers`` counts those that name what is shared,
    ``keeping`` are the networks in which observed addresses or port blocks are kept, ``unread`` the sources
    that their features could not read.
    """

    world: World = field(default_factory=World)
    fleet: Fleet = field(default_factory=Fleet)
    observed: Topology = field(default_factory=Topology)
    entries: Map[SourceKey, _Entry] = field(default_factory=Map)
    readers: Map[ResourceName, frozenset[SourceKey]] = field(default_factory=Map)
    sharers: Map[ResourceName, int] = field(default_factory=Map)
    members: Map[ResourceName, Members] = field(default_factory=Map)
    networks: Map[ResourceName, VpcNetwork] = field(default_factory=Map)
    keeping: Map[ResourceName, None] = field(default_factory=Map)
    unread: Map[SourceKey, bool] = field(default_factory=Map)
    lowered: Lowered = field(default_factory=Lowered)


class Compiler:
    """Compiles Worlds with ``features``, whose order decides who is asked first for addresses and ports."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self._features = tuple(features)
        always = {
            (_REGION, f"{number:03}", 0, ""): fragment
            for number, feature in enumerate(self._features)
            if (fragment := feature.always())
        }
        self._state = _State(lowered=Lowered().changed(always))

    def compile(self, world: World, fleet: Fleet, observed: Topology) -> Lowered:
        """Lower ``world`` and ``fleet``; ``observed`` holds the addresses and port blocks to keep.

        What gives the same network is the very same answer. What a feature raises, and each contradiction
        between two, is in the answer's ``failures``.
        """
        self._state = self._following(world, fleet, observed)
        return self._state.lowered

    def preview(self, world: World, fleet: Fleet, observed: Topology) -> Lowered:
        """Return what :meth:`compile` would, and remember nothing."""
        return self._following(world, fleet, observed).lowered

    def _following(self, world: World, fleet: Fleet, observed: Topology) -> _State:
        before = self._state
        one = _Pass(self._features, before, world, observed)
        one.read(fleet)
        one.lower_networks()
        one.lower_shared()
        return replace(
            before,
            world=world,
            fleet=fleet,
            observed=observed,
            entries=one.entries.finish(),
            readers=one.readers.finish(),
            sharers=one.sharers.finish(),
            members=one.members.finish(),
            networks=one.networks.finish(),
            keeping=one.keeping.finish(),
            unread=one.unread.finish(),
            lowered=before.lowered.changed(one.changes),
        )


class _Pass:
    """One pass over what changed since ``before``."""

    def __init__(
        self, features: tuple[Feature, ...], before: _State, world: World, observed: Topology
    ) -> None:
        self._features, self._before, self._world, self._observed = features, before, world, observed
        self.entries = before.entries.mutate()
        self.readers = before.readers.mutate()
        self.sharers = before.sharers.mutate()
        self.members = before.members.mutate()
        self.networks = before.networks.mutate()
        self.keeping = before.keeping.mutate()
        self.unread = before.unread.mutate()
        self.changes: Changes = {}
        self._names: set[ResourceName] = set()
        """The resources that changed."""
        self._dirty: dict[ResourceName, set[SourceKey]] = {}
        """The networks to lower again, and their sources that changed."""
        self._shared: set[ResourceName] = set()

    def read(self, fleet: Fleet) -> None:
        """Ask the features about every source that changed, or that looked up what changed."""
        collections = frozenset(each for feature in self._features for each in feature.resources)
        self._names = changed_resources(self._before.world, self._world, collections)
        sources: dict[SourceKey, Source | None] = {}
        for name in self._names:
            resource = self._world.find(name)
            for number, feature in enumerate(self._features):
                if name.collection in feature.resources:
                    sources[number, name.collection, name.path] = resource
        for identifier in changed_instances(self._before.fleet, fleet):
            instance = fleet.instances.get(identifier)
            for key in self._instance_keys(identifier, instance):
                sources[key] = instance
        for name in self._names:
            for key in self._before.readers.get(name, ()):
                sources.setdefault(key, self.entries[key].source)
        for key in self._before.unread:  # what it had looked up is not known
            sources.setdefault(key, self.entries[key].source)
        for key, source in sources.items():
            self._read(key, source)

    def _instance_keys(self, identifier: str, instance: Instance | None) -> Iterator[SourceKey]:
        for number, feature in enumerate(self._features):
            if feature.instances:
                key = (number, "", identifier)
                if key in self.entries or (instance and instance.owner.collection in feature.instances):
                    yield key

    def _read(self, key: SourceKey, source: Source | None) -> None:
        known = self.entries.get(key)
        old = known.contribution if known else NOTHING
        again = known is None or known.failed or known.source is not source
        new, outside = (NOTHING, None) if source is None else self._ask(key[0], source, again=again)
        failed = outside is not None and outside.failure is not None
        _put(self.entries, key, None if source is None else _Entry(source, new, failed))
        _put(self.unread, key, True if failed else None)
        if again or failed:
            self.changes[_source_unit(key)] = outside
        self._note_members(key, old, new)
        self._note_shared(old, new)
        self._note_reads(key, old, new)

    def _ask(self, number: int, source: Source, *, again: bool) -> tuple[Contribution, Fragment | None]:
        """Ask a feature what ``source`` adds, and ``again`` what it is beside all networks."""
        feature = self._features[number]
        try:
            added = feature.contribution(source, self._world.find)
            outside = feature.outside(source) if again else None
        except Exception as error:  # noqa: BLE001 - it is told with what waits for it, and holds up nothing else
            return NOTHING, Fragment.failed(error, _owner(source))
        return added, outside and outside.by(number)

    def _note_members(self, key: SourceKey, old: Contribution, new: Contribution) -> None:
        before = {each.network: each for each in old.memberships}
        after = {each.network: each for each in new.memberships}
        for network in before | after:
            self._dirty.setdefault(network, set()).add(key)
            known = self.members.get(network) or Members()
            made = known.changed(key, before.get(network), after.get(network))
            if made is not known:
                self.members[network] = made

    def _note_shared(self, old: Contribution, new: Contribution) -> None:
        for step, names in ((-1, old.shared), (1, new.shared)):
            for name in names:
                self.sharers[name] = self.sharers.get(name, 0) + step
                self._shared.add(name)

    def _note_reads(self, key: SourceKey, old: Contribution, new: Contribution) -> None:
        for name in old.reads:
            left = self.readers[name] - {key}
            if left:
                self.readers[name] = left
            else:
                del self.readers[name]
        for name in new.reads:
            self.readers[name] = self.readers.get(name, frozenset()) | {key}

    def lower_networks(self) -> None:
        """Lower the networks that changed, and those whose addresses and ports may be held otherwise now."""
        seen = (self._before.observed, self._before.lowered.topology)
        reobserved = all(self._observed is not each for each in seen)
        keeping: set[ResourceName] = set(self._before.keeping) if reobserved else set()
        around = Surroundings(self._inside, self._observed, reobserved)
        for name in self._dirty.keys() | keeping:
            self._lower_network(name, around)

    def _lower_network(self, name: ResourceName, around: Surroundings) -> None:
        members = self.members.get(name) or Members()
        changed = self._dirty.get(name, set())
        before = self.networks.get(name)
        made, changes = self._lowered_network(name, members, before, changed, around)
        self.changes |= changes
        self._note_endpoints(before, made)
        _put(self.networks, name, made)
        _put(self.members, name, None if members == Members() else members)
        if (made and made.keeps) or (made is None and members.itself):
            self.keeping[name] = None
        elif name in self.keeping:
            del self.keeping[name]

    def _lowered_network(
        self,
        name: ResourceName,
        members: Members,
        before: VpcNetwork | None,
        changed: set[SourceKey],
        around: Surroundings,
    ) -> tuple[VpcNetwork | None, Changes]:
        """Lower a network; one that cannot be is missing whole, and everything in it waits."""
        try:
            return lower_network(name, members, before, changed, around)
        except Exception as error:  # noqa: BLE001 - it is told with what waits for it, and holds up nothing else
            owners = {_owner(self.entries[source].source) for source in members.sources}
            return None, failed_network(name, before, Fragment.failed(error, name, *owners))

    def _note_endpoints(self, before: VpcNetwork | None, after: VpcNetwork | None) -> None:
        """Lower again what is shared and leads to endpoints that moved."""
        old, new = before.endpoints if before else {}, after.endpoints if after else {}
        if old is not new:
            moved = {key for key in old.keys() | new.keys() if old.get(key) is not new.get(key)}
            names = {ResourceName(collection, path) for _, collection, path in moved}
            self._shared.update(name for name in names if name in self.sharers)

    def _inside(
        self, key: SourceKey, network: NetworkContext, endpoints: tuple[Endpoint, ...]
    ) -> Fragment | None:
        source = self.entries[key].source
        try:
            fragment = self._features[key[0]].inside(source, network, endpoints)
        except Exception as error:  # noqa: BLE001 - it is told with what waits for it, and holds up nothing else
            return Fragment.failed(error, _owner(source))
        return fragment and fragment.by(key[0])

    def lower_shared(self) -> None:
        """Lower what several sources share: while any of them names it."""
        changed = {name for name in self._names if name in self.sharers}
        for name in self._shared | changed:
            unit = (_SHARED, name.path, 0, name.collection)
            if self.sharers.get(name):
                try:
                    self.changes[unit] = self._lower_shared(name)
                except Exception as error:  # noqa: BLE001 - as above
                    self.changes[unit] = Fragment.failed(error, name)
            else:
                self.changes[unit] = None
                _put(self.sharers, name, None)

    def _lower_shared(self, name: ResourceName) -> Fragment:
        for number, feature in enumerate(self._features):
            if name.collection in feature.resources:
                endpoints = tuple(self._endpoints((number, name.collection, name.path)))
                return feature.shared(name, self._world.find(name), endpoints).by(number)
        raise LookupError(f"no feature lowers {name.collection}, which {name} belongs to")

    def _endpoints(self, key: SourceKey) -> Iterator[Endpoint]:
        known = self.entries.get(key)
        for membership in known.contribution.memberships if known else ():
            network = self.networks.get(membership.network)
            yield from network.endpoints.get(key, ()) if network else ()


def _put(table: MapMutation[K, V], key: K, value: V | None) -> None:
    if value is not None:
        table[key] = value
    elif key in table:
        del table[key]


def _owner(source: Source) -> ResourceName:
    return source.owner if isinstance(source, Instance) else source.name


def _source_unit(key: SourceKey) -> UnitKey:
    number, collection, path = key
    return (_REGION, f"{number:03}", 1, path) if collection else (_INSTANCES, path, number, "")
