"""What the collections of Cloud VPN share: labels, references, writes of the usual kind."""

from fogbank.errors import invalid_value
from fogbank.resources.compute import refer
from fogbank.resources.fingerprints import fingerprint
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, Resource, World
from fogbank.services.compute.bodies import check_labels
from fogbank.services.compute.decisions import relabelled
from fogbank.services.compute.names import by_id, named, project_of
from fogbank.services.compute.references import reference
from fogbank.services.contract import Call, Decision, Write


def labelled(body: Json) -> Json:
    """Check the labels and the description of a new resource; give the fields that are kept of them."""
    labels = dict(body.get("labels", {}))
    check_labels(labels)
    fields: Json = {"labelFingerprint": fingerprint(labels)}
    if labels:
        fields["labels"] = labels
    if body.get("description"):
        fields["description"] = body["description"]
    return fields


def label_setter(kind: str) -> Write:
    """Make the method that replaces a resource's labels."""

    def set_labels(world: World, call: Call) -> Decision:
        return relabelled(call, world.get(named(world, call, kind, call["resource"])))

    return Write(set_labels, f"compute.{kind}.setLabels")


def regional(world: World, call: Call, field: str, value: object, kind: str) -> Resource:
    """Find the resource of the call's project and region that a body's ``field`` refers to."""
    project = project_of(world, call)
    name = by_id(world, reference(field, value, kind, project, call["region"]))
    if name.project != project:
        raise invalid_value(field, name.path, "Cross project referencing is not allowed for this resource.")
    if name.region != call["region"]:
        raise invalid_value(field, name.path, f"The resource must be in region '{call['region']}'.")
    return world.get(name)


def network_of(resource: Resource) -> ResourceName:
    """Name the network of a gateway or a router."""
    return refer(resource.body["network"], "networks")
