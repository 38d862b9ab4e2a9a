"""Entries of a certificate map: which certificates a host name gets, or who fits no other entry."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from fogbank.resources import load_balancing
from fogbank.resources.listings import listing
from fogbank.resources.load_balancing import CERTIFICATE_MAPS, MAP_ENTRIES
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource, World
from fogbank.services.certificatemanager.certificates import ACTIVE
from fogbank.services.certificatemanager.maps import MAPS
from fogbank.services.certificatemanager.shared import (
    COMMON,
    ID_PATTERN,
    INTERFACE,
    LOCATIONS,
    METADATA,
    Done,
    created,
    message,
    missing,
    referred,
    updated,
)
from fogbank.services.collections import Field, Outcome, bad_request
from fogbank.services.contract import Call
from fogbank.services.segments import project_of, segments

_MOST_CERTIFICATES = 4
_NAMES = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")


@dataclass(frozen=True, slots=True)
class _Entries(Done):
    """Entries stand below their map."""

    def methods(self) -> Mapping[str, Any]:
        """Make the five methods."""
        nested = "projects.locations.certificateMaps.certificateMapEntries."
        own = "projects.locations.certificateMapEntries."
        return {key.replace(own, nested): each for key, each in Done.methods(self).items()}

    def member(self, world: World, call: Call, identifier: str) -> ResourceName:
        """Name an entry of the map that the call's path names, which must be there."""
        return ResourceName(self.name, f"{self._map(world, call).path}/certificateMapEntries/{identifier}")

    def list(self, world: World, call: Call) -> Iterable[Json]:
        """List the entries of a map."""
        under = f"{self._map(world, call).path}/certificateMapEntries/"
        return listing(world, self.name, under, partial(self.show, world))

    def _map(self, world: World, call: Call) -> ResourceName:
        parts = segments(call)
        place = f"projects/{project_of(world, call)}/locations/{parts['locations']}"
        name = ResourceName(CERTIFICATE_MAPS, f"{place}/certificateMaps/{parts['certificateMaps']}")
        if world.find(name) is None:
            raise MAPS.missing(name)
        return name


def _hostname(_world: World, _call: Call, value: Any) -> str:
    text = str(value).lower()
    if not _NAMES.fullmatch(text):
        raise bad_request(f"The hostname '{value}' is invalid.", "hostname")
    return text


def _matcher(_world: World, _call: Call, value: Any) -> Any:
    if value != "PRIMARY":
        raise bad_request(f"Invalid matcher '{value}'.", "matcher")
    return value


def _certificates(world: World, call: Call, value: Any) -> list[str]:
    if len(value) > _MOST_CERTIFICATES:
        raise bad_request(f"An entry has at most {_MOST_CERTIFICATES} certificates.", "certificates")
    label = "certificates"
    return [referred(world, call, label, each, load_balancing.CERTIFICATES).path for each in value]


def _created(world: World, call: Call, entry: Resource) -> Outcome:
    body = entry.body
    if ("hostname" in body) == ("matcher" in body):
        raise bad_request("Exactly one of hostname and matcher must be set.", "match")
    wanted = body.get("hostname"), body.get("matcher")
    place = entry.name.path.rpartition("/")[0] + "/"
    for other in world.all(MAP_ENTRIES, place):
        if (other.body.get("hostname"), other.body.get("matcher")) == wanted:
            what = body.get("hostname") or body["matcher"]
            raise bad_request(
                f"The entry '{other.name.path}' of the map is for '{what}' already.", "hostname"
            )
    return created(world, call, entry)


def _show(world: World, entry: Resource) -> Json:
    """Show an entry, which is ACTIVE when one of its certificates can be served."""
    found = (
        world.find(ResourceName(load_balancing.CERTIFICATES, each)) for each in entry.body["certificates"]
    )
    states = [each.body.get("managed", {}).get("state", ACTIVE) for each in found if each is not None]
    return entry.body | {"state": ACTIVE if ACTIVE in states else "PENDING"}


ENTRIES = _Entries(
    name=MAP_ENTRIES,
    noun="certificateMapEntry",
    id_parameter="certificateMapEntryId",
    id_pattern=ID_PATTERN,
    message=message("CertificateMapEntry"),
    interface=INTERFACE,
    metadata=METADATA,
    fields={
        **COMMON,
        "hostname": Field(immutable=True, check=_hostname),
        "matcher": Field(immutable=True, check=_matcher),
        "certificates": Field(required=True, check=_certificates),
        "state": Field(output=True),
    },
    locations=LOCATIONS,
    created=_created,
    updated=updated,
    show=_show,
    missing=missing("CertificateMapEntry"),
    permissions="certmapentries",
)
