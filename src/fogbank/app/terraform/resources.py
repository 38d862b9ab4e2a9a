"""Resources: which of Terraform's google provider are read, and the calls of the API that an apply makes.

A change becomes steps, each a few calls that depend on what the World holds then (a gateway is an entry of
its router's list). The calls are answered by the same services that would answer Terraform.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fogbank.app.terraform.plan_file import PlannedChange
from fogbank.app.terraform.translation import body_of
from fogbank.resources.names import COMPUTE_PREFIX, ResourceName
from fogbank.resources.world import Json, World


@dataclass(frozen=True, slots=True)
class Defaults:
    """Where a resource is whose configuration does not say it."""

    project: str
    region: str


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A call of a method, ``compute.v1.networks.insert``, with its parameters and its body."""

    method: str
    parameters: Mapping[str, Any]
    body: Json


Calls = Callable[[World], Iterator[ApiCall]]


@dataclass(frozen=True, slots=True)
class Kind:
    """How a type of resource is one of an API's collection.

    ``place`` is where it is: ``global``, ``regions``, ``zones`` or ``locations``. ``links`` name the
    attributes that refer to others by their collection. ``finish`` completes a body that the schema alone
    does not give.
    """

    rank: int
    api: str
    collection: str
    one: str
    message: str
    place: str
    renames: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    finish: Callable[[Json, Json], Json] = lambda body, _attributes: body
    patched: bool = True

    @property
    def compute(self) -> bool:
        return self.api.startswith("compute")

    def parent(self, attributes: Json, defaults: Defaults) -> str:
        """Return where the resource is: ``projects/P/regions/R``."""
        project = attributes.get("project") or defaults.project
        if self.place == "global":
            return f"projects/{project}/global"
        if self.place == "zones":
            return f"projects/{project}/zones/{_last(attributes['zone'])}"
        region = _last(attributes.get("region") or attributes.get("location") or defaults.region)
        return f"projects/{project}/{self.place}/{region}"

    def name(self, attributes: Json, defaults: Defaults) -> ResourceName:
        collection = f"{self.api.partition('.')[0]}.{self.collection}"
        path = f"{self.parent(attributes, defaults)}/{self.collection}/{attributes['name']}"
        return ResourceName(collection, path)

    def body(self, attributes: Json, defaults: Defaults) -> Json:
        linked = dict(attributes)
        for attribute, collection in self.links.items():
            if attributes.get(attribute):
                linked[attribute] = link(attributes[attribute], collection, attributes, defaults)
        return self.finish(body_of(self.api, self.message, linked, self.renames), linked)

    def created(self, attributes: Json, defaults: Defaults) -> ApiCall:
        """Make the resource."""
        body, parent = self.body(attributes, defaults), self.parent(attributes, defaults)
        if self.compute:
            return ApiCall(f"{self.api}.{self.collection}.insert", _placed(parent), body)
        method = f"{self.api}.projects.locations.{self.collection}.create"
        body.pop("name", None)
        return ApiCall(method, {"parent": parent, f"{self.one}Id": attributes["name"]}, body)

    def changed(self, attributes: Json, defaults: Defaults, found: Json) -> ApiCall:
        """Patch the resource, which is now ``found``."""
        body = self.body(attributes, defaults)
        if self.compute:
            if "fingerprint" in found:
                body["fingerprint"] = found["fingerprint"]
            parameters = _placed(self.parent(attributes, defaults)) | {self.one: attributes["name"]}
            return ApiCall(f"{self.api}.{self.collection}.patch", parameters, body)
        path = self.name(attributes, defaults).path
        method = f"{self.api}.projects.locations.{self.collection}.patch"
        mask = {} if self.api.startswith("run") else {"updateMask": ",".join(sorted(body))}
        return ApiCall(method, {"name": path, f"{self.one}.name": path, **mask}, body | {"name": path})

    def deleted(self, attributes: Json, defaults: Defaults) -> ApiCall:
        """Delete the resource."""
        if self.compute:
            parameters = _placed(self.parent(attributes, defaults)) | {self.one: attributes["name"]}
            return ApiCall(f"{self.api}.{self.collection}.delete", parameters, {})
        path = self.name(attributes, defaults).path
        return ApiCall(f"{self.api}.projects.locations.{self.collection}.delete", {"name": path}, {})


def link(reference: str, collection: str, attributes: Json, defaults: Defaults) -> str:
    """Return the URL of what ``reference`` names: a URL, a path, or a name in the resource's own place."""
    if "projects/" in reference:
        return COMPUTE_PREFIX + reference[reference.index("projects/") :]
    project = attributes.get("project") or defaults.project
    region = _last(attributes.get("region") or defaults.region)
    scope = "global" if collection in {"networks", "gateways"} else f"regions/{region}"
    return f"{COMPUTE_PREFIX}projects/{project}/{scope}/{collection}/{_last(reference)}"


def _placed(parent: str) -> dict[str, str]:
    """Return the parameters that say where: ``projects/P/regions/R``."""
    _, project, *rest = parent.split("/")
    return {"project": project} | ({rest[0].removesuffix("s"): rest[1]} if len(rest) == 2 else {})


def _last(reference: str) -> str:
    return reference.rpartition("/")[2]


def _network(body: Json, attributes: Json) -> Json:
    mode = attributes.get("routing_mode")
    return body | ({"routingConfig": {"routingMode": mode}} if mode else {})


def _firewall(body: Json, _attributes: Json) -> Json:
    return {key: value for key, value in body.items() if key != "logConfig"}


def _instance(body: Json, attributes: Json) -> Json:
    """Add what an instance has of other shape: its tags, its machine type and its boot disk."""
    disks = [
        {"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": initial.get("image", "")}}
        for disk in attributes.get("boot_disk") or []
        for initial in disk.get("initialize_params") or [{}]
    ]
    machine = f"zones/{_last(attributes['zone'])}/machineTypes/{_last(attributes['machine_type'])}"
    tags = {"tags": {"items": attributes["tags"]}} if attributes.get("tags") else {}
    return {
        "name": body["name"],
        "machineType": machine,
        "canIpForward": bool(attributes.get("can_ip_forward")),
        "networkInterfaces": [_interface(each) for each in body.get("networkInterfaces", [])],
        "disks": disks,
        **tags,
        **({"serviceAccounts": body["serviceAccounts"]} if "serviceAccounts" in body else {}),
    }


_INTERFACE = ("network", "subnetwork", "networkIP", "aliasIpRanges", "accessConfigs")


def _interface(body: Json) -> Json:
    kept = {key: body[key] for key in _INTERFACE if key in body}
    for key, collection in (("network", "networks"), ("subnetwork", "subnetworks")):
        if "projects/" not in kept.get(key, "projects/"):
            kept[key] = f"{'global' if key == 'network' else 'regions/-'}/{collection}/{kept[key]}"
    if "accessConfigs" in kept:
        kept["accessConfigs"] = [
            {"type": "ONE_TO_ONE_NAT", "name": "external-nat", **each} for each in kept["accessConfigs"]
        ]
    return kept


def _service(body: Json, attributes: Json) -> Json:
    """Leave out what the provider fills in from the last answer and the API does not take back."""
    kept = ("template", "ingress", "launchStage", "traffic", "labels")
    service = {key: body[key] for key in kept if key in body}
    template = {k: v for k, v in service.get("template", {}).items() if k not in {"labels", "annotations"}}
    del attributes
    return service | {"template": template}


_NETWORK = {"network": "networks"}

KINDS: Mapping[str, Kind] = {
    "google_compute_network": Kind(
        0, "compute.v1", "networks", "network", "Network", "global", finish=_network
    ),
    "google_compute_subnetwork": Kind(
        1, "compute.v1", "subnetworks", "subnetwork", "Subnetwork", "regions",
        {"secondary_ip_range": "secondaryIpRanges"}, _NETWORK,
    ),
    "google_compute_address": Kind(
        2, "compute.v1", "addresses", "address", "Address", "regions", links={"subnetwork": "subnetworks"},
        patched=False,
    ),
    "google_compute_router": Kind(
        3, "compute.v1", "routers", "router", "Router", "regions", links=_NETWORK
    ),
    "google_vpc_access_connector": Kind(
        4, "vpcaccess.v1", "connectors", "connector", "Connector", "locations"
    ),
    "google_redis_instance": Kind(
        4, "redis.v1", "instances", "instance", "Instance", "locations"
    ),
    "google_compute_instance": Kind(
        5, "compute.v1", "instances", "instance", "Instance", "zones",
        {"network_interface": "networkInterfaces", "network_ip": "networkIP", "nat_ip": "natIP",
         "access_config": "accessConfigs", "alias_ip_range": "aliasIpRanges",
         "service_account": "serviceAccounts"},
        finish=_instance, patched=False,
    ),
    "google_compute_firewall": Kind(
        7, "compute.v1", "firewalls", "firewall", "Firewall", "global",
        {"allow": "allowed", "deny": "denied", "protocol": "IPProtocol"}, _NETWORK, _firewall,
    ),
    "google_compute_route": Kind(
        8, "compute.v1", "routes", "route", "Route", "global",
        links=_NETWORK | {"next_hop_gateway": "gateways"}, patched=False,
    ),
    "google_cloud_run_v2_service": Kind(
        9, "run.v2", "services", "service", "GoogleCloudRunV2Service", "locations", finish=_service
    ),
}  # fmt: skip
"""The types that are read, and in which order they are made."""

NAT_RANK = 6
NAT = "google_compute_router_nat"
PEERING_RANK = 6
PEERING = "google_compute_network_peering"

TYPES = frozenset({*KINDS, NAT, PEERING})


def path_of(defaults: Defaults) -> Callable[[str, Json], str | None]:
    """Return what finds the path of a planned resource."""

    def path(type_: str, attributes: Json) -> str | None:
        kind = KINDS.get(type_)
        return kind.name(attributes, defaults).path if kind and attributes.get("name") else None

    return path


def gateway_calls(change: PlannedChange, defaults: Defaults) -> Calls:
    """Write the gateway into its router's list, or take it out."""
    attributes = change.after or change.before or {}
    name, router = attributes["name"], _last(attributes["router"])
    renames = {"subnetwork": "subnetworks"}
    entry = body_of("compute.v1", "RouterNat", attributes, renames) if change.after else None
    if entry and "subnetworks" in entry:
        for each in entry["subnetworks"]:
            each["name"] = link(each["name"], "subnetworks", attributes, defaults)

    def calls(world: World) -> Iterator[ApiCall]:
        kind = KINDS["google_compute_router"]
        place = attributes | {"name": router}
        found = world.find(kind.name(place, defaults))
        before = found.body.get("nats", []) if found else []
        nats = [each for each in before if each["name"] != name] + ([entry] if entry else [])
        parameters = _placed(kind.parent(place, defaults)) | {"router": router}
        yield ApiCall("compute.v1.routers.patch", parameters, {"nats": nats})

    return calls


def peering_calls(change: PlannedChange, defaults: Defaults) -> Calls:
    """Add a network's side of a peering, change it or remove it."""
    attributes = change.after or change.before or {}
    network = ResourceName("compute.networks", _path(link(attributes["network"], "networks", {}, defaults)))
    parameters = {"project": network.project, "network": network.id}
    peer = link(attributes["peer_network"], "networks", {}, defaults)
    body = body_of("compute.v1", "NetworkPeering", {**attributes, "network": peer}, {})
    verb = (
        "removePeering"
        if change.after is None
        else "addPeering"
        if change.before is None
        else "updatePeering"
    )

    def calls(_world: World) -> Iterator[ApiCall]:
        sent: Json = {"name": attributes["name"]} if verb == "removePeering" else {}
        if verb != "removePeering":
            sent = {"networkPeering": body | ({"exchangeSubnetRoutes": True} if verb == "addPeering" else {})}
        yield ApiCall(f"compute.v1.networks.{verb}", parameters, sent)

    return calls


def _path(url: str) -> str:
    return url[url.index("projects/") :]
