"""What a Memorystore instance may be: its fields, their defaults, and Google's refusals.

See behaviour/memorystore-redis.md#instances.
"""

from datetime import datetime, timedelta
from typing import Any

from fogbank.errors import ApiError, not_built
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import rfc3339
from fogbank.resources.places import REGIONS
from fogbank.resources.world import Json, World
from fogbank.services.access import network_named
from fogbank.services.collections import bad_request
from fogbank.services.contract import Call
from fogbank.services.labels import check_labels
from fogbank.services.redis.model import has_read_replicas

ID_PATTERN = r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$"

VERSIONS = ("REDIS_3_2", "REDIS_4_0", "REDIS_5_0", "REDIS_6_X", "REDIS_7_0", "REDIS_7_2")
"""From old to new; every one of them is served by the redis-server that the region has."""
DEFAULT_VERSION = "REDIS_7_0"

CONNECT_MODES = ("DIRECT_PEERING", "PRIVATE_SERVICE_ACCESS")
TIERS = ("BASIC", "STANDARD_HA")
SMALLEST_GB, LARGEST_GB = 1, 300
LEAST_GB_WITH_READ_REPLICAS = 5
DEFAULT_READ_REPLICAS, MOST_READ_REPLICAS = 2, 5
READ_REPLICAS_MODES = ("READ_REPLICAS_DISABLED", "READ_REPLICAS_ENABLED")
_POLICIES = (
    "noeviction",
    "allkeys-lru",
    "volatile-lru",
    "allkeys-random",
    "volatile-random",
    "volatile-ttl",
    "allkeys-lfu",
    "volatile-lfu",
)
_CONFIGS = (
    "maxmemory-policy",
    "notify-keyspace-events",
    "activedefrag",
    "lfu-decay-time",
    "lfu-log-factor",
    "maxmemory-gb",
    "stream-node-max-bytes",
    "stream-node-max-entries",
    "maxmemory-clients",
    "timeout",
)
_LONGEST_DISPLAY_NAME = 80
_LONGEST_DESCRIPTION = 512


def one_of(field: str, *allowed: str) -> Any:
    """Make the check of an enum; its UNSPECIFIED value counts as absent."""

    def check(_world: World, _call: Call, value: Any) -> Any:
        if str(value).endswith("_UNSPECIFIED"):
            return None
        if value not in allowed:
            raise bad_request(f"Invalid value '{value}' for {field}: use one of {', '.join(allowed)}.", field)
        return value

    return check


def size(_world: World, _call: Call, value: Any) -> int:
    """Check a size in GiB."""
    number = int(value)
    if not SMALLEST_GB <= number <= LARGEST_GB:
        raise bad_request(
            f"Memory size must be between {SMALLEST_GB} and {LARGEST_GB} GiB, not {number}.", "memory_size_gb"
        )
    return number


def labels(_world: World, _call: Call, value: Any) -> Any:
    """Check labels; none is no field."""
    check_labels(value)
    return value or None


def display_name(_world: World, _call: Call, value: Any) -> Any:
    """Check the name for people."""
    if len(value) > _LONGEST_DISPLAY_NAME:
        raise bad_request(
            f"The display name may have at most {_LONGEST_DISPLAY_NAME} characters.", "display_name"
        )
    return value


def configs(_world: World, _call: Call, value: Any) -> Any:
    """Check Redis's own settings: those that Google lets its users set."""
    for key, text in value.items():
        if key not in _CONFIGS:
            raise bad_request(
                f"Unsupported Redis config '{key}'. Use: {', '.join(_CONFIGS)}.", "redis_configs"
            )
        _check_config(key, str(text))
    return {key: str(text) for key, text in value.items()} or None


def _check_config(key: str, text: str) -> None:
    if key == "activedefrag" and text == "yes":
        raise not_built("redis.instances with redisConfigs activedefrag=yes")
    if key == "maxmemory-policy" and text not in _POLICIES:
        raise bad_request(
            f"Invalid value '{text}' for maxmemory-policy: use one of {', '.join(_POLICIES)}.",
            "redis_configs",
        )
    if key == "notify-keyspace-events":
        if set(text) - set("KEg$lshzxetdmnA"):
            raise bad_request(f"Invalid value '{text}' for notify-keyspace-events.", "redis_configs")
    elif key not in {"maxmemory-policy", "activedefrag", "maxmemory-clients"}:
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if number < 0:
            raise bad_request(f"Invalid value '{text}' for {key}: it is a number.", "redis_configs")


def persistence(_world: World, call: Call, value: Any) -> Json:
    """Complete how snapshots are taken: every day from now unless the client says otherwise."""
    if value.get("persistenceMode") != "RDB":
        return {"persistenceMode": "DISABLED"}
    period = value.get("rdbSnapshotPeriod")
    given = value.get("rdbSnapshotStartTime")
    return {
        "persistenceMode": "RDB",
        "rdbSnapshotPeriod": "TWENTY_FOUR_HOURS"
        if period in {None, "SNAPSHOT_PERIOD_UNSPECIFIED"}
        else period,
        "rdbSnapshotStartTime": given or rfc3339(call.now),
    }


def maintenance(_world: World, call: Call, value: Any) -> Json | None:
    """Complete a maintenance policy; there is one weekly window of an hour at most."""
    if not value:
        return None
    windows = value.get("weeklyMaintenanceWindow", ())
    if len(windows) > 1:
        raise bad_request("Only one weekly maintenance window may be given.", "maintenance_policy")
    if len(value.get("description", "")) > _LONGEST_DESCRIPTION:
        raise bad_request(
            f"A description may have at most {_LONGEST_DESCRIPTION} characters.", "maintenance_policy"
        )
    now = rfc3339(call.now)
    completed = [{"duration": "3600s", **each} for each in windows]
    kept = {key: text for key, text in value.items() if key == "description"}
    times = {"createTime": now, "updateTime": now}
    return {**kept, **times, **({"weeklyMaintenanceWindow": completed} if completed else {})}


def unbuilt(field: str) -> Any:
    """Make the check that refuses a field by its name."""

    def check(_world: World, _call: Call, value: Any) -> Any:
        if value:
            raise not_built(f"redis.instances with {field}")

    return check


def authorized_network(world: World, call: Call, project: str) -> ResourceName:
    """Find the network that may reach the instance: of its own project, ``default`` unless told otherwise."""
    reference = call.body.get("authorizedNetwork") or "default"
    foreign = "authorized_network must exist in the same project as redis instance"
    return network_named(world, call, reference, project, _wrong_network, foreign=foreign)


def _wrong_network(why: str) -> ApiError:
    return bad_request(why, "authorized_network")


def zones(body: Json, region: str, count: int) -> tuple[str, ...]:
    """Choose where the nodes are: the zones asked for, then the others of the region, in turn."""
    known = REGIONS[region].zones
    asked = [body[field] for field in ("locationId", "alternativeLocationId") if body.get(field)]
    for zone in asked:
        if zone not in known:
            raise bad_request(f"Zone '{zone}' is not in the region '{region}'.", "location_id")
    if len(asked) > count:
        raise bad_request(
            "alternative_location_id is only for the tier STANDARD_HA.", "alternative_location_id"
        )
    if len(set(asked)) < len(asked):
        raise bad_request("alternative_location_id must differ from location_id.", "alternative_location_id")
    order = [*asked, *(zone for zone in known if zone not in asked)]
    return tuple(order[number % len(order)] for number in range(count))


def replicas(body: Json) -> int:
    """Return how many replicas an instance has: with read replicas those asked for, else none or one."""
    if has_read_replicas(body):
        return _read_replicas(body)
    most = 0 if body["tier"] == "BASIC" else 1
    given = body.get("replicaCount")
    if given is not None and int(given) != most:
        raise bad_request(
            f"replica_count must be {most} for the tier {body['tier']} without read replicas.",
            "replica_count",
        )
    return most


def _read_replicas(body: Json) -> int:
    """Check an instance with read replicas (behaviour/memorystore-redis.md#read-replicas)."""
    if body["tier"] != "STANDARD_HA":
        raise bad_request("Read replicas are only for the tier STANDARD_HA.", "read_replicas_mode")
    if int(body["memorySizeGb"]) < LEAST_GB_WITH_READ_REPLICAS:
        raise bad_request(
            f"Read replicas need an instance of at least {LEAST_GB_WITH_READ_REPLICAS} GiB.", "memory_size_gb"
        )
    if VERSIONS.index(body.get("redisVersion") or DEFAULT_VERSION) < VERSIONS.index("REDIS_5_0"):
        raise bad_request("Read replicas need REDIS_5_0 or newer.", "redis_version")
    count = int(body.get("replicaCount") or DEFAULT_READ_REPLICAS)
    if not 1 <= count <= MOST_READ_REPLICAS:
        raise bad_request(f"replica_count must be between 1 and {MOST_READ_REPLICAS}.", "replica_count")
    return count


def check_upgrade(before: str, after: str) -> None:
    """Refuse a version that is not newer."""
    if after not in VERSIONS:
        raise bad_request(f"Invalid Redis version '{after}'.", "redis_version")
    if VERSIONS.index(after) <= VERSIONS.index(before):
        raise bad_request(f"Redis version {after} is not newer than {before}.", "redis_version")


def check_settled(name: ResourceName, state: str) -> None:
    """Refuse a second change while one runs (behaviour/memorystore-redis.md#changes)."""
    if state != "READY":
        raise ApiError(
            400,
            f"The instance '{name.path}' is in state {state}; wait for its operation to end.",
            "FAILED_PRECONDITION",
            "failedPrecondition",
        )


def next_snapshot(config: Json, now: datetime) -> datetime | None:
    """Return when the next snapshot after ``now`` is due; None when none is taken."""
    if config["persistenceMode"] != "RDB":
        return None
    period = PERIODS[config["rdbSnapshotPeriod"]]
    start = datetime.fromisoformat(config["rdbSnapshotStartTime"])
    passed = (now - start).total_seconds() // period
    return start + timedelta(seconds=max(0, passed + 1) * period)


PERIODS = {"ONE_HOUR": 3600, "SIX_HOURS": 21600, "TWELVE_HOURS": 43200, "TWENTY_FOUR_HOURS": 86400}
"""Seconds between two snapshots."""
