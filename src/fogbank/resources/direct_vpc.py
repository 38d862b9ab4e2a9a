"""Direct VPC egress: where a revision's instances have their addresses, and which of Google's rules apply.

A revision names a network, a subnetwork or both in one annotation. The surprising fact: the rules changed
several times, so a region can be told to behave as of a date (``fogbank up --as-of``), which the World keeps.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from fogbank.resources.names import ResourceName, parse_compute_reference
from fogbank.resources.world import Change, Delete, Put, Resource, World

NETWORK_INTERFACES = "run.googleapis.com/network-interfaces"

AS_OF = ResourceName("fogbank.asOf", "asOf")

BITS_PER_SECOND = 1_000_000_000
"""What one instance sends and receives at most (behaviour/direct-vpc-egress.md#data-path)."""


@dataclass(frozen=True, slots=True)
class DirectVpc:
    """The subnetwork that a revision's instances have addresses in, and their network tags.

    ``network`` is None when the client left it out: it is then that of the subnetwork.
    """

    subnetwork: ResourceName
    network: ResourceName | None
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds since ``since`` (behaviour/direct-vpc-egress.md#history).

    Each instance holds ``addresses`` addresses. ``longest_prefix`` is the prefix length of the smallest
    subnetwork; ``most_instances`` of one service, None when only the quota limits them.
    """

    since: date
    addresses: int
    longest_prefix: int
    most_instances: int | None = None
    nat: bool = True
    preview: bool = False


HISTORY = (
    Rules(date(2023, 8, 1), 4, 24, most_instances=100, nat=False, preview=True),
    Rules(date(2024, 3, 14), 4, 24, most_instances=100, preview=True),
    Rules(date(2024, 4, 24), 4, 24, most_instances=100),
    Rules(date(2025, 1, 1), 4, 26),
    Rules(date(2025, 7, 1), 2, 26),
)
"""The rules by date, oldest first; the last two dates are unverified to the month."""


def parse_as_of(text: str) -> date | None:
    """Read the setting: a date, or None for today's rules. ValueError when there are none for that date."""
    if not text:
        return None
    found = date.fromisoformat(text)
    if found < HISTORY[0].since:
        raise ValueError(f"what Google did before {HISTORY[0].since} is not known here")
    return found


def keep_as_of(world: World, text: str, now: datetime, new_id: Callable[[], int]) -> tuple[Change, ...]:
    """Decide that the region behaves as of the date ``text`` from now on, or as today when it is empty."""
    found = world.find(AS_OF)
    if (found.body["date"] if found else "") == text:
        return ()
    return (Put(Resource(AS_OF, new_id(), now, {"date": text})),) if text else (Delete(AS_OF),)


def rules_of(world: World) -> Rules:
    """Return the rules that hold in this region."""
    found = world.find(AS_OF)
    if found is None:
        return HISTORY[-1]
    day = date.fromisoformat(found.body["date"])
    return next(each for each in reversed(HISTORY) if each.since <= day)


def read_interfaces(text: str) -> list[dict[str, Any]]:
    """Read the annotation; ValueError unless it is a JSON list of objects."""
    found = json.loads(text)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError("not a list of network interfaces")
    return found


def read_direct_vpc(annotations: Mapping[str, str], project: str, region: str) -> DirectVpc | None:
    """Read where a revision of ``project`` in ``region`` has its addresses; None without the annotation.

    Without a subnetwork it is the one that is called like the network
    (behaviour/direct-vpc-egress.md#interfaces). ValueError, IndexError or AttributeError when it says neither
    or names something else.
    """
    text = annotations.get(NETWORK_INTERFACES)
    found = read_interfaces(text) if text else []
    if not found:
        return None
    (one,) = found
    network, subnetwork = one.get("network"), one.get("subnetwork")
    named = parse_compute_reference(network, "networks", project, "global") if network else None
    if not subnetwork and named is None:
        raise ValueError("neither network nor subnetwork")
    where = project if subnetwork or named is None else named.project
    wanted = parse_compute_reference(
        subnetwork or (named.id if named else ""), "subnetworks", where, "regions", region
    )
    return DirectVpc(wanted, named, tuple(one.get("tags") or ()))
