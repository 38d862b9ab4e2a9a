"""Routing policies of record sets: weighted round robin, and by where the client is.

Health checks, and with them failover, are not built (behaviour/cloud-dns.md#routing-policies).
"""

from collections.abc import Callable, Sequence

from fogbank.errors import not_built
from fogbank.resources.places import REGIONS
from fogbank.resources.world import Json
from fogbank.services.dns.refusals import bad, invalid

_KINDS = {"wrr": "dns#rRSetRoutingPolicyWrrPolicy", "geo": "dns#rRSetRoutingPolicyGeoPolicy"}

ReadData = Callable[[Sequence[str], str], list[str]]
"""Reads the data of an item, given the field that a refusal names."""


def read_routing_policy(given: Json, field: str, read_data: ReadData) -> Json:
    """Read a routing policy of ``field`` as it is kept."""
    for unbuilt in ("primaryBackup", "healthCheck"):
        if given.get(unbuilt):
            raise not_built(f"dns.resourceRecordSets with routingPolicy.{unbuilt}")
    kinds = [each for each in _KINDS if given.get(each)]
    if len(kinds) != 1:
        raise bad(f"Invalid value for '{field}': it has either 'wrr' or 'geo'.", "invalid")
    (kind,) = kinds
    policy = given[kind]
    items: Sequence[Json] = policy.get("items") or ()
    if not items:
        raise invalid(f"{field}.{kind}.items", "")
    read = [
        _item(kind, each, f"{field}.{kind}.items[{place}]", read_data) for place, each in enumerate(items)
    ]
    if kind == "geo" and len({each["location"] for each in read}) < len(read):
        raise bad(f"Invalid value for '{field}.geo.items': a location is there twice.", "invalid")
    kept: Json = {"kind": _KINDS[kind], "items": read}
    if kind == "geo" and "enableFencing" in policy:
        kept["enableFencing"] = bool(policy["enableFencing"])
    return {"kind": "dns#rRSetRoutingPolicy", kind: kept}


def _item(kind: str, given: Json, field: str, read_data: ReadData) -> Json:
    if given.get("healthCheckedTargets"):
        raise not_built("dns.resourceRecordSets with healthCheckedTargets")
    data = given.get("rrdatas") or ()
    if not data:
        raise invalid(f"{field}.rrdatas", "")
    common: Json = {"kind": f"{_KINDS[kind]}{kind.capitalize()}PolicyItem", "rrdatas": read_data(data, field)}
    if kind == "geo":
        if given.get("location") not in REGIONS:
            raise invalid(f"{field}.location", given.get("location"))
        return common | {"location": given["location"]}
    weight = float(given.get("weight") or 0)
    if not 0 <= weight < float("inf"):
        raise invalid(f"{field}.weight", weight)
    return common | {"weight": weight}
