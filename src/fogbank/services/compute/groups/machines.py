"""The instances of a managed group: what is to be done now, purely.

A manager remembers a row for each instance that it wants, made or not. One function (:func:`step`) compares
the rows with the instances and with the size and the versions that are asked for, and returns the changes
that can be made now; whoever calls it again after each change of the World gets the group where it is to be.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from fogbank.errors import ApiError
from fogbank.resources.instance_groups import MANAGER, group_name, instance_of_row
from fogbank.resources.instances import INSTANCES
from fogbank.resources.names import COMPUTE_PREFIX, ResourceName, compute_name
from fogbank.resources.projects import project_number
from fogbank.resources.world import Change, Delete, Json, Put, PutOperation, Resource, World
from fogbank.services.compute.decisions import OperationFailed, policy_name
from fogbank.services.compute.groups.update_policies import (
    UpdatePolicy,
    Version,
    policy_of,
    versions_of,
)
from fogbank.services.compute.instances.insertion import build
from fogbank.services.compute.instances.interfaces import Taken
from fogbank.services.compute.instances.lifecycle import leaving, resetting, settled
from fogbank.services.compute.instances.templates import properties_of
from fogbank.services.contract import Call

Action = Literal["KEEP", "DELETE", "RECREATE"]

RETRY = timedelta(seconds=10)
"""How long a manager waits before it makes an instance again that came to nothing (unverified)."""
MADE_AT_ONCE = 50
_LETTERS = "0123456789bcdfghjklmnpqrstvwxz"


@dataclass(frozen=True, slots=True)
class Row:
    """An instance that a manager wants: of which template, under which version's name.

    ``tried`` is when it was last made, ``error`` why that failed.
    """

    instance: str
    template: str
    version: str
    action: Action = "KEEP"
    tried: str = ""
    error: str = ""

    @property
    def name(self) -> ResourceName:
        """The name of the instance."""
        return ResourceName(INSTANCES, self.instance)

    def is_of(self, version: Version) -> bool:
        """Return whether the instance is what a version wants."""
        return (self.template, self.version) == (version.template, version.name)

    def as_json(self) -> Json:
        """Return what is stored; what is empty is left out."""
        fields = ("instance", "template", "version", "action", "tried", "error")
        return {field: getattr(self, field) for field in fields if getattr(self, field)}


def rows_of(manager: Resource) -> list[Row]:
    """Read the rows of a manager."""
    return [Row(**{"version": "", **each}) for each in manager.private.get("machines", ())]


def with_rows(manager: Resource, rows: Sequence[Row]) -> Resource:
    """Return a manager with other rows."""
    return replace(manager, private={**manager.private, "machines": [each.as_json() for each in rows]})


def zones_of(manager: Resource) -> tuple[str, ...]:
    """List the zones in which a manager has instances."""
    own = manager.name.segment("zones")
    if own:
        return (own,)
    listed = manager.body["distributionPolicy"]["zones"]
    return tuple(each["zone"].rpartition("/")[2] for each in listed)


def available(instance: Resource | None) -> bool:
    """Return whether an instance runs, and as it is wanted."""
    return instance is not None and instance.body["status"] == "RUNNING" and settled(instance)


def counted_versions(manager: Resource, rows: Sequence[Row]) -> tuple[dict[int, Version], list[int]]:
    """Say which version each row has, by its place, and list the places of those that are to have another."""
    left = list(versions_of(manager.body, int(manager.body["targetSize"])))
    open_counts = Counter({number: each.count for number, each in enumerate(left)})
    fitting: dict[int, Version] = {}
    outdated: list[int] = []
    for place, row in enumerate(rows):
        if row.action == "DELETE":
            continue
        number = next((n for n, each in enumerate(left) if row.is_of(each)), None)
        if number is None or (open_counts[number] <= 0 and len(left) > 1):
            outdated.append(place)
        else:
            open_counts[number] -= 1
            fitting[place] = left[number]
    return fitting, outdated


def step(world: World, call: Call, name: ResourceName) -> tuple[Change, ...]:
    """Return what is to be done now for the group of a manager; nothing when all is done or on its way."""
    manager = world.find(name)
    if manager is None:
        return ()
    work = _Work(world, call, manager)
    if manager.private.get("deleting"):
        work.rows = [replace(each, action="DELETE") for each in work.rows]
    work.settle()
    if manager.private.get("deleting"):
        if not work.rows:
            return (*work.changes, *_gone(world, manager, call.now))
    else:
        work.resize()
        work.update()
    work.carry_out()
    changed = with_rows(manager, work.rows)
    if changed.private != manager.private:
        work.changes.append(Put(changed))
    return tuple(work.changes)


def _gone(world: World, manager: Resource, now: datetime) -> Iterator[Change]:
    group = group_name(manager.name.path)
    for each in (group, manager.name):
        yield Delete(policy_name(each))
        yield Delete(each)
    for operation in world.running.values():
        if operation.target == manager.name:
            yield PutOperation(operation.done(now))


class _Work:
    """One step: rows as they come to be, and the changes of instances."""

    def __init__(self, world: World, call: Call, manager: Resource) -> None:
        self.world, self.call, self.manager = world, call, manager
        self.rows = rows_of(manager)
        self.changes: list[Change] = []
        self._taken = Taken()

    def _instance(self, row: Row) -> Resource | None:
        return instance_of_row(self.world, self.manager, {"instance": row.instance})

    def _available(self, row: Row) -> bool:
        return row.action == "KEEP" and available(self._instance(row))

    def settle(self) -> None:
        """Drop what has gone, and have instances made anew that are to be, or that stopped by themselves."""
        self.rows = [now for row in self.rows if (now := self._settled(row)) is not None]

    def _settled(self, row: Row) -> Row | None:
        instance = self._instance(row)
        match row.action:
            case "DELETE" if instance is None:
                return None
            case "RECREATE" if instance is None:
                version = self._missing_version() or Version(row.template, row.version, 1)
                return Row(row.instance, version.template, version.name)
            case "KEEP" if instance is not None and self._has_failed(instance):
                return replace(row, action="RECREATE")
            case _:
                return row

    def _has_failed(self, instance: Resource) -> bool:
        policy = self.manager.body.get("instanceLifecyclePolicy", {})
        repairs = policy.get("defaultActionOnFailure", "REPAIR") == "REPAIR"
        return repairs and instance.body["status"] in {"TERMINATED", "SUSPENDED"}

    def _missing_version(self) -> Version | None:
        """Return the version that lacks most instances."""
        versions = versions_of(self.manager.body, int(self.manager.body["targetSize"]))
        rows = [each for each in self.rows if each.action != "DELETE"]
        lacking = {each: each.count - sum(row.is_of(each) for row in rows) for each in versions}
        return max(lacking, key=lambda each: lacking[each], default=None)

    def resize(self) -> None:
        """Add rows that are missing, and let those go that are too many: first those of old versions."""
        size = int(self.manager.body["targetSize"])
        _, outdated = counted_versions(self.manager, self.rows)
        wanted = size + self._surge(size, outdated)
        kept = [place for place, row in enumerate(self.rows) if row.action != "DELETE"]
        for _ in range(wanted - len(kept)):
            version = self._missing_version()
            if version is None:
                break
            self.rows.append(Row(self._new_name(), version.template, version.name))
        if len(kept) > wanted:
            crowds = Counter(self.rows[place].name.segment("zones") for place in kept)
            old = {*outdated}

            def worth(place: int) -> tuple[bool, bool, int, int]:
                row = self.rows[place]
                return self._available(row), place not in old, -crowds[row.name.segment("zones")], -place

            for place in sorted(kept, key=worth)[: len(kept) - wanted]:
                self.rows[place] = replace(self.rows[place], action="DELETE")

    def _surge(self, size: int, outdated: Sequence[int]) -> int:
        """Return how many instances there may be in addition while old ones are replaced."""
        policy = policy_of(self.manager.body, size)
        if not policy.proactive or policy.recreate:
            return 0
        templates = {each.template for each in versions_of(self.manager.body, size)}
        replaced = sum(policy.replace or self.rows[place].template not in templates for place in outdated)
        return min(policy.surge, replaced)

    def _new_name(self) -> str:
        zones = Counter(dict.fromkeys(zones_of(self.manager), 0))
        taken = set()
        for row in self.rows:
            taken.add(row.name.id)
            if row.action != "DELETE" and (zone := row.name.segment("zones")) in zones:
                zones[str(zone)] += 1
        zone = min(zones, key=lambda each: zones[each])
        while True:
            number, letters = self.call.new_id(), ""
            for _ in range(4):
                number, digit = divmod(number, len(_LETTERS))
                letters += _LETTERS[digit]
            name = f"{self.manager.body['baseInstanceName']}-{letters}"
            made = compute_name("instances", self.manager.name.project, "zones", zone, name)
            if name not in taken and self.world.find(made) is None:
                return made.path

    def update(self) -> None:
        """Replace instances of old versions, as many at once as the policy allows."""
        size = int(self.manager.body["targetSize"])
        policy = policy_of(self.manager.body, size)
        if not policy.proactive:
            return
        _, outdated = counted_versions(self.manager, self.rows)
        running = sum(map(self._available, self.rows))
        for place in outdated:
            row, version = self.rows[place], self._missing_version()
            if row.action != "KEEP" or version is None:
                continue
            restarts = version.template == row.template and not policy.replace
            up = self._available(row)
            most_missing = max(policy.unavailable, 1) if restarts or policy.recreate else policy.unavailable
            if up and running <= size - most_missing:
                continue
            self.rows[place] = updated = self._updated(row, version, policy, restarts=restarts)
            running -= up and (updated.action != "KEEP" or policy.restart)

    def _updated(self, row: Row, version: Version, policy: UpdatePolicy, *, restarts: bool) -> Row:
        """Bring one instance to a version; one that was not made yet is made of it."""
        instance = self._instance(row)
        if instance is None:
            return Row(row.instance, version.template, version.name)
        if not restarts:
            return replace(row, action="RECREATE" if policy.recreate else "DELETE")
        if policy.restart:
            self.changes.append(Put(resetting(instance)))
        return replace(row, version=version.name)

    def carry_out(self) -> None:
        """Make instances that are missing, and let those go that are to."""
        made = 0
        for place, row in enumerate(self.rows):
            instance = self._instance(row)
            if instance is not None and row.action != "KEEP":
                if instance.private["wanted"] != "DELETED":
                    unprotected = instance.with_body(deletionProtection=False)
                    self.changes.append(Put(leaving(unprotected, "DELETED")))
            elif instance is None and row.action == "KEEP" and self._may_make(row, made):
                made += 1
                self.rows[place] = self._make(row)

    def _may_make(self, row: Row, made: int) -> bool:
        return made < MADE_AT_ONCE and is_due(row, self.call.now)

    def _make(self, row: Row) -> Row:
        tried = replace(row, tried=self.call.now.isoformat(), error="")
        try:
            instance, changes = self._built(row)
        except (OperationFailed, ApiError) as refusal:
            error = refusal.error if isinstance(refusal, OperationFailed) else refusal
            return replace(tried, error=error.message)
        managed = replace(instance, private={**instance.private, MANAGER: self.manager.name.path})
        self.changes += (*(each for each in changes if each != Put(instance)), Put(managed))
        return tried

    def _built(self, row: Row) -> tuple[Resource, tuple[Change, ...]]:
        project, zone = self.manager.name.project, str(row.name.segment("zones"))
        call = replace(
            self.call, method="compute.v1.instances.insert", parameters={"project": project, "zone": zone}
        )
        path = row.template.removeprefix(COMPUTE_PREFIX)
        template = self.world.get(ResourceName("compute.instanceTemplates", path))
        properties = properties_of(template, call)
        if self.world.find(row.name) is not None:
            message = f"The resource '{row.name.path}' already exists"
            raise ApiError(409, message, "ALREADY_EXISTS", "alreadyExists")
        body = properties | {"metadata": self._metadata(properties, path)}
        return build(self.world, call, row.name, body, self._taken)

    def _metadata(self, properties: Json, template: str) -> Json:
        """Add what a manager tells the instances that it makes."""
        items = [
            each
            for each in properties.get("metadata", {}).get("items", ())
            if each["key"] not in {"created-by", "instance-template"}
        ]
        project = self.manager.name.project
        number = project_number(self.world, project)

        def by_number(path: str) -> str:
            return path.replace(f"projects/{project}/", f"projects/{number}/", 1)

        items.append({"key": "instance-template", "value": by_number(template)})
        items.append({"key": "created-by", "value": by_number(self.manager.name.path)})
        return {"items": items}


def is_due(row: Row, now: datetime) -> bool:
    """Return whether an instance may be made: not at once again when it came to nothing."""
    return not row.tried or now - datetime.fromisoformat(row.tried) >= RETRY


def waits(world: World, manager: Resource) -> bool:
    """Return whether a manager has an instance to make for whose time it waits."""
    return any(
        each.tried and each.action == "KEEP" and world.find(each.name) is None for each in rows_of(manager)
    )


def state_of(world: World, manager: Resource, row: Row) -> tuple[str, Resource | None]:
    """Return what is being done with an instance, in Google's words, and the instance."""
    instance = instance_of_row(world, manager, {"instance": row.instance})
    if row.action != "KEEP":
        return ("DELETING" if row.action == "DELETE" else "RECREATING"), instance
    if instance is None or not instance.private.get("booted"):
        return "CREATING", instance
    if instance.private["wanted"] == "DELETED":
        return "RECREATING", instance
    return ("NONE" if available(instance) else "RESTARTING"), instance
