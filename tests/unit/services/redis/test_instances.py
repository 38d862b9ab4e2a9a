"""Memorystore instances: defaults, refusals, what a change does, and what they hold of a network."""

import re
from ipaddress import IPv4Network

import pytest
from tests.cloud_calls import ME, NOW, PLACE, PROJECT, REGION, Cloud

from fogbank.resources.names import ResourceName
from fogbank.resources.network_users import network_users
from fogbank.resources.operations import Operation
from fogbank.services.redis.instances import creation_failed, failover_given_up, moved_to_replica, settled
from fogbank.services.redis.model import read_instance

INSTANCES = "redis.v1.projects.locations.instances"
NAME = f"{PLACE}/instances/cache"
RESOURCE = ResourceName("redis.instances", NAME)
NETWORK = f"projects/{PROJECT}/global/networks/default"


@pytest.fixture
def cloud():
    made = Cloud()
    made.subnetwork()
    return made


def create(cloud, name="cache", **body):
    fields = {"tier": "BASIC", "memorySizeGb": 1} | body
    return cloud(f"{INSTANCES}.create", fields, parent=PLACE, instanceId=name)


def refusal(cloud, **body):
    fields = {"tier": "BASIC", "memorySizeGb": 1} | body
    return cloud.refused(f"{INSTANCES}.create", fields, parent=PLACE, instanceId="cache")


def get(cloud, name=NAME):
    return cloud(f"{INSTANCES}.get", name=name)


def ready(cloud, path=NAME):
    """Do what the controller does when the servers answer."""
    cloud.make(settled(cloud.world, ResourceName("redis.instances", path), NOW, []))


def patch(cloud, mask, **body) -> Operation:
    return cloud(f"{INSTANCES}.patch", body, name=NAME, updateMask=mask)


def test_an_instance_has_googles_defaults_and_is_creating_until_its_servers_answer(cloud):
    operation = create(cloud)
    made = get(cloud)
    assert re.fullmatch(r"\d+\.\d+\.\d+\.\d+", made.pop("host"))
    assert IPv4Network(made.pop("reservedIpRange")).prefixlen == 29
    identity = made.pop("persistenceIamIdentity")
    assert re.fullmatch(r"serviceAccount:service-\d+@cloud-redis\.iam\.gserviceaccount\.com", identity)
    assert made == {
        "name": NAME,
        "tier": "BASIC",
        "memorySizeGb": 1,
        "authorizedNetwork": NETWORK,
        "connectMode": "DIRECT_PEERING",
        "redisVersion": "REDIS_7_0",
        "transitEncryptionMode": "DISABLED",
        "readReplicasMode": "READ_REPLICAS_DISABLED",
        "persistenceConfig": {"persistenceMode": "DISABLED"},
        "locationId": f"{REGION}-a",
        "currentLocationId": f"{REGION}-a",
        "nodes": [{"id": "node-0", "zone": f"{REGION}-a"}],
        "port": 6379,
        "createTime": "2026-11-22T01:02:03.000000Z",
        "state": "CREATING",
    }
    assert operation.metadata == {
        "@type": "type.googleapis.com/google.cloud.redis.v1.OperationMetadata",
        "createTime": "2026-11-22T01:02:03.000000Z",
        "target": NAME,
        "verb": "create",
        "requestedCancellation": False,
        "apiVersion": "v1",
    }
    ready(cloud)
    done = cloud.world.operations[operation.name.path]
    assert (done.status, done.response["state"]) == ("DONE", "READY")
    assert done.response["@type"] == "type.googleapis.com/google.cloud.redis.v1.Instance"


def test_a_highly_available_instance_has_two_nodes_in_two_zones(cloud):
    create(cloud, tier="STANDARD_HA", locationId=f"{REGION}-b")
    made = get(cloud)
    assert made["nodes"] == [{"id": "node-0", "zone": f"{REGION}-b"}, {"id": "node-1", "zone": f"{REGION}-a"}]
    assert (made["alternativeLocationId"], made["replicaCount"]) == (f"{REGION}-a", 1)
    (resource,) = cloud.world.all("redis.instances")
    addresses = [str(node.address) for node in read_instance(resource).nodes]
    within = IPv4Network(made["reservedIpRange"])
    assert addresses == [made["host"], str(within[3])]
    assert made["host"] == str(within[4])


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"tier": ""}, "The field 'tier' of an instance is required."),
        ({"memorySizeGb": 0}, "Memory size must be between 1 and 300 GiB, not 0."),
        ({"memorySizeGb": 301}, "Memory size must be between 1 and 300 GiB, not 301."),
        (
            {"authorizedNetwork": "projects/other/global/networks/default"},
            "authorized_network must exist in the same project as redis instance",
        ),
        (
            {"authorizedNetwork": "nowhere"},
            f"The network 'projects/{PROJECT}/global/networks/nowhere' was not",
        ),
        ({"reservedIpRange": "10.0.0.0/28"}, "The reserved IP range 10.0.0.0/28 must be a /29 range."),
        ({"reservedIpRange": "8.8.8.0/29"}, "The reserved IP range 8.8.8.0/29 is not a private range."),
        ({"locationId": "us-central1-a"}, f"Zone 'us-central1-a' is not in the region '{REGION}'."),
        ({"replicaCount": 2}, "replica_count must be 0 for the tier BASIC without read replicas."),
        ({"readReplicasMode": "READ_REPLICAS_ENABLED"}, "only for the tier STANDARD_HA"),
        ({"redisConfigs": {"maxmemory-policy": "none"}}, "Invalid value 'none' for maxmemory-policy"),
        ({"redisConfigs": {"save": "1 1"}}, "Unsupported Redis config 'save'"),
        (
            {"redisConfigs": {"activedefrag": "yes"}},
            "Fogbank does not implement redis.instances with redisConfigs",
        ),
        ({"customerManagedKey": "k"}, "Fogbank does not implement redis.instances with customerManagedKey"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(cloud, body, says):
    error = refusal(cloud, **body)
    assert error.code == 400
    assert says in error.message


def test_an_instance_that_is_missing_is_googles_404(cloud):
    error = cloud.refused(f"{INSTANCES}.get", name=NAME)
    assert (error.code, error.message) == (404, f"Resource '{NAME}' was not found")


def test_a_network_keeps_the_range_of_an_instance_and_shows_its_peering(cloud):
    create(cloud)
    within = get(cloud)["reservedIpRange"]
    network = ResourceName("compute.networks", NETWORK)
    assert [(str(each.range), each.noun) for each in network_users(cloud.world, network)] == [
        (within, "instance")
    ]
    shown = cloud("compute.v1.networks.get", project=PROJECT, network="default")
    (peering,) = shown["peerings"]
    assert re.fullmatch(r"redis-peer-\d+", peering["name"])
    assert peering["state"] == "ACTIVE"
    body = {"name": "taken", "network": NETWORK, "ipCidrRange": f"{IPv4Network(within).supernet()}"}
    error = cloud.refused("compute.v1.subnetworks.insert", body, project=PROJECT, region=REGION)
    assert "instance 'cache'" in error.message
    error = cloud.refused(
        f"{INSTANCES}.create",
        {"tier": "BASIC", "memorySizeGb": 1, "reservedIpRange": within},
        parent=PLACE,
        instanceId="other",
    )
    assert f"The reserved IP range {within} overlaps" in error.message
    cloud.finish(cloud(f"{INSTANCES}.delete", name=NAME))
    assert "peerings" not in cloud("compute.v1.networks.get", project=PROJECT, network="default")


def test_authentication_has_a_string_that_is_new_each_time(cloud):
    create(cloud, authEnabled=True)
    ready(cloud)
    first = cloud(f"{INSTANCES}.getAuthString", name=NAME)["authString"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", first)
    patch(cloud, "authEnabled", authEnabled=False)
    ready(cloud)
    assert cloud(f"{INSTANCES}.getAuthString", name=NAME) == {}
    patch(cloud, "auth_enabled", authEnabled=True)
    assert get(cloud)["state"] == "UPDATING"
    assert cloud(f"{INSTANCES}.getAuthString", name=NAME)["authString"] != first
    assert first not in str(get(cloud))


def test_a_size_is_updating_until_servers_know_it_and_a_label_is_done_at_once(cloud):
    create(cloud)
    ready(cloud)
    assert patch(cloud, "labels,display_name", labels={"a": "b"}, displayName="x").status == "DONE"
    operation = patch(cloud, "memory_size_gb", memorySizeGb=2, tier="BASIC", state="READY")
    assert operation.status == "RUNNING"
    assert (get(cloud)["state"], get(cloud)["memorySizeGb"], get(cloud)["displayName"]) == (
        "UPDATING",
        2,
        "x",
    )
    error = cloud.refused(f"{INSTANCES}.patch", {"memorySizeGb": 3}, name=NAME, updateMask="memorySizeGb")
    assert (error.status, "is in state UPDATING" in error.message) == ("FAILED_PRECONDITION", True)


@pytest.mark.parametrize("field", ["authorizedNetwork", "connectMode", "transitEncryptionMode", "tier"])
def test_what_was_given_once_never_changes(cloud, field):
    create(cloud)
    ready(cloud)
    error = cloud.refused(f"{INSTANCES}.patch", {}, name=NAME, updateMask=field)
    assert f"The fields {field} of an instance cannot be changed." in error.message


def test_a_failover_makes_the_replica_primary_with_the_same_host(cloud):
    create(cloud, tier="STANDARD_HA")
    ready(cloud)
    before = get(cloud)
    operation = cloud(f"{INSTANCES}.failover", {}, name=NAME)
    assert (get(cloud)["state"], get(cloud)["currentLocationId"]) == (
        "FAILING_OVER",
        before["currentLocationId"],
    )
    ready(cloud)
    assert get(cloud)["state"] == "FAILING_OVER"  # not before the controller has moved the address
    cloud.make(moved_to_replica(cloud.world, RESOURCE, 0))
    moved = get(cloud)
    assert moved["host"] == before["host"]
    assert moved["currentLocationId"] == before["alternativeLocationId"]
    (resource,) = cloud.world.all("redis.instances")
    view = read_instance(resource)
    assert [(str(node.address) == before["host"], node.primary) for node in view.nodes] == [
        (False, False),
        (True, True),
    ]
    ready(cloud)
    assert cloud.world.operations[operation.name.path].status == "DONE"


def test_a_replica_that_lags_is_no_primary_and_the_operation_says_so(cloud):
    create(cloud, tier="STANDARD_HA")
    ready(cloud)
    before = get(cloud)
    operation = cloud(f"{INSTANCES}.failover", {"dataProtectionMode": "LIMITED_DATA_LOSS"}, name=NAME)
    cloud.make(failover_given_up(cloud.world, RESOURCE, NOW))
    assert get(cloud) == before
    assert "FORCE_DATA_LOSS" in cloud.world.operations[operation.name.path].error.message


def test_an_instance_without_a_replica_has_no_failover(cloud):
    create(cloud)
    ready(cloud)
    assert "STANDARD_HA" in cloud.refused(f"{INSTANCES}.failover", {}, name=NAME).message


def test_only_a_newer_version_is_an_upgrade(cloud):
    create(cloud, redisVersion="REDIS_6_X")
    ready(cloud)
    error = cloud.refused(f"{INSTANCES}.upgrade", {"redisVersion": "REDIS_5_0"}, name=NAME)
    assert "is not newer" in error.message
    assert cloud(f"{INSTANCES}.upgrade", {"redisVersion": "REDIS_7_0"}, name=NAME).status == "DONE"
    assert get(cloud)["redisVersion"] == "REDIS_7_0"


def test_snapshots_are_due_every_period_from_their_start(cloud):
    config = {"persistenceMode": "RDB", "rdbSnapshotPeriod": "SIX_HOURS"}
    create(cloud, persistenceConfig=config | {"rdbSnapshotStartTime": "2026-11-21T23:00:00Z"})
    assert get(cloud)["persistenceConfig"]["rdbNextSnapshotTime"] == "2026-11-22T05:00:00.000000Z"


def test_both_versions_of_the_api_show_the_same(cloud):
    create(cloud)
    assert cloud("redis.v1beta1.projects.locations.instances.get", name=NAME) == get(cloud)
    assert cloud("redis.v1beta1.projects.locations.instances.list", parent=PLACE) == [get(cloud)]


def test_nobody_without_the_permission_names_a_network(cloud):
    cloud.caller = "stranger@example.com"
    cloud.bind(PROJECT, "roles/redis.admin", f"user:{cloud.caller}")
    error = refusal(cloud)
    assert (error.code, "compute.networks.get" in error.message) == (403, True)
    cloud.caller = ME


def test_an_instance_that_cannot_be_made_goes_and_its_operation_says_why(cloud):
    operation = create(cloud)
    cloud.make(creation_failed(cloud.world, RESOURCE, "no server here", NOW))
    assert cloud.world.operations[operation.name.path].error.message == "no server here"
    assert cloud.refused(f"{INSTANCES}.get", name=NAME).code == 404
    create(cloud)
    ready(cloud)
    assert creation_failed(cloud.world, RESOURCE, "too late", NOW) == ()


def test_what_a_late_controller_says_of_a_deleted_instance_changes_nothing(cloud):
    create(cloud)
    cloud(f"{INSTANCES}.delete", name=NAME)
    assert settled(cloud.world, ResourceName("redis.instances", NAME), NOW, []) == ()


READS = {"tier": "STANDARD_HA", "memorySizeGb": 5, "readReplicasMode": "READ_REPLICAS_ENABLED"}


def nodes(cloud):
    (resource,) = cloud.world.all("redis.instances")
    return read_instance(resource).nodes


def test_an_instance_with_read_replicas_has_a_wider_range_and_an_endpoint_for_them(cloud):
    create(cloud, **READS, replicaCount=5)
    made = get(cloud)
    within = IPv4Network(made["reservedIpRange"])
    used = [made["readEndpoint"], *(str(node.address) for node in nodes(cloud))]
    assert (within.prefixlen, made["replicaCount"], made["readEndpointPort"]) == (28, 5, 6379)
    assert len(set(used)) == 7
    assert all(IPv4Network(each).subnet_of(within) for each in used)


def test_read_replicas_are_enabled_later_with_a_second_range_and_stay(cloud):
    create(cloud, tier="STANDARD_HA", memorySizeGb=5)
    ready(cloud)
    before = get(cloud)
    wanted = {"readReplicasMode": "READ_REPLICAS_ENABLED"}
    mask = "readReplicasMode,secondaryIpRange"
    missing = cloud.refused(f"{INSTANCES}.patch", wanted, name=NAME, updateMask=mask)
    assert "secondary_ip_range is required" in missing.message
    overlapping = wanted | {"secondaryIpRange": before["reservedIpRange"].partition("/")[0] + "/28"}
    assert cloud.refused(f"{INSTANCES}.patch", overlapping, name=NAME, updateMask=mask).code == 400
    patch(cloud, mask, **wanted, secondaryIpRange="auto")
    ready(cloud)
    made = get(cloud)
    second = IPv4Network(made["secondaryIpRange"])
    assert (made["host"], made["replicaCount"], second.prefixlen) == (before["host"], 1, 28)
    assert IPv4Network(made["readEndpoint"]).subnet_of(second)
    network = ResourceName("compute.networks", NETWORK)
    assert {str(each.range) for each in network_users(cloud.world, network)} == {
        made["reservedIpRange"],
        made["secondaryIpRange"],
    }
    off = {"readReplicasMode": "READ_REPLICAS_DISABLED"}
    refused = cloud.refused(f"{INSTANCES}.patch", off, name=NAME, updateMask="readReplicasMode")
    assert "cannot be disabled" in refused.message


def test_nodes_that_stay_keep_their_numbers_and_addresses_and_the_primary_always_stays(cloud):
    create(cloud, **READS, replicaCount=3)
    ready(cloud)
    for primary in (0, 1, 2):
        cloud.make(moved_to_replica(cloud.world, RESOURCE, primary))
    before = {node.number: (node.address, node.primary) for node in nodes(cloud)}
    assert before[3] == (nodes(cloud)[3].address, True)
    patch(cloud, "replicaCount", replicaCount=1)
    ready(cloud)
    after = {node.number: (node.address, node.primary) for node in nodes(cloud)}
    assert after == {number: before[number] for number in (0, 3)}
    patch(cloud, "replicaCount", replicaCount=2)
    assert {node.number for node in nodes(cloud)} == {0, 1, 3}
    cloud.make(moved_to_replica(cloud.world, RESOURCE, 3))
    assert get(cloud)["currentLocationId"] == nodes(cloud)[0].zone
    assert nodes(cloud)[0].primary


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (READS | {"tier": "BASIC"}, "only for the tier STANDARD_HA"),
        (READS | {"memorySizeGb": 4}, "at least 5 GiB"),
        (READS | {"replicaCount": 6}, "between 1 and 5"),
        (READS | {"redisVersion": "REDIS_4_0"}, "REDIS_5_0 or newer"),
        (READS | {"reservedIpRange": "10.0.0.0/29"}, "must be a /28 range"),
        (READS | {"secondaryIpRange": "auto"}, "only for enabling read replicas"),
    ],
)
def test_read_replicas_that_cannot_be_are_refused(cloud, body, says):
    assert says in refusal(cloud, **body).message
