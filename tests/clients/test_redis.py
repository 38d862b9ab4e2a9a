"""Memorystore for Redis with real servers: who reaches them, what survives what, and what clients may do.

Services in Cloud Run are the clients: one behind a connector of the instance's region and network, others
elsewhere. The redis-server is Debian's, fetched once into the cache that all tests share.
"""

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.loaded_gcloud import LoadedRegion, load_gcloud
from tests.processes import below
from tests.waiting import wait_until

from fogbank.frontend.client_environment import applied
from fogbank.testing import RunningRegion, end_region, fetch_servers, short_folder, start_region

HERE, ELSEWHERE = "asia-northeast1", "us-central1"
COMPUTE = "https://compute.googleapis.com/compute/v1/projects/demo"
REDIS = f"https://redis.googleapis.com/v1/projects/demo/locations/{HERE}/instances"
NETCHECK = "us-docker.pkg.dev/fogbank/samples/netcheck"
CACHE = {"tier": "BASIC", "memorySizeGb": 1}
NETWORK = "projects/demo/global/networks/run-vpc"

pytestmark = [pytest.mark.slow(30), pytest.mark.netns, pytest.mark.xdist_group("redis")]


class Redis:
    """A region with a network, connectors, services that ask, and instances."""

    def __init__(self, region: RunningRegion) -> None:
        self.region = region
        self.urls: dict[str, str] = {}

    def call(self, method: str, url: str, body: Any = None) -> Any:
        """Call an API, and wait for the operation when it opens one; give the answer."""
        status, answer = self.region.api(method, url, body)
        assert status == 200, answer
        host = url.split("/")[2]
        until = time.monotonic() + 60
        while str(answer.get("name", "")).rpartition("/")[0].endswith("/operations") and not answer.get(
            "done"
        ):
            assert time.monotonic() < until, answer
            status, answer = self.region.api("GET", f"https://{host}/v1/{answer['name']}")
        assert "error" not in answer, answer
        return answer.get("response", answer)

    def network(self, name: str) -> None:
        self.compute("global/networks", {"name": name, "autoCreateSubnetworks": False})

    def compute(self, path: str, body: Any) -> None:
        operation = self.call("POST", f"{COMPUTE}/{path}", body)
        self.call("POST", operation["selfLink"].replace("www.", "compute.", 1) + "/wait")

    def connector(self, name: str, network: str, place: str, within: str) -> str:
        parent = f"projects/demo/locations/{place}/connectors"
        body = {"network": network, "ipCidrRange": within, "minInstances": 2, "maxInstances": 3}
        self.call("POST", f"https://vpcaccess.googleapis.com/v1/{parent}?connectorId={name}", body)
        return f"{parent}/{name}"

    def service(self, name: str, place: str, connector: str | None) -> None:
        parent = f"https://run.googleapis.com/v2/projects/demo/locations/{place}/services"
        template: dict[str, Any] = {"containers": [{"image": NETCHECK}]}
        if connector:
            template["vpcAccess"] = {"connector": connector}
        body = {"template": template, "invokerIamDisabled": True}
        self.urls[name] = self.call("POST", f"{parent}?serviceId={name}", body)["uri"]

    def create(self, name: str, **body: Any) -> dict[str, Any]:
        fields = {"tier": "BASIC", "memorySizeGb": 1, "authorizedNetwork": NETWORK} | body
        made: dict[str, Any] = self.call("POST", f"{REDIS}?instanceId={name}", fields)
        return made

    def get(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"{REDIS}/{name}")
        return found

    def ask(self, service: str, host: str, command: str, timeout: int = 5) -> Any:
        """Have a service send one command; give the reply, or the error."""
        asked = f"/redis?host={host}&command={quote(command)}&timeout={timeout}"
        answer = json.loads(self.region.curl(self.urls[service] + asked))
        return answer["reply"] if answer["ok"] else answer["error"]

    def eventually(self, service: str, host: str, command: str, wanted: Callable[[Any], bool]) -> Any:
        until = time.monotonic() + 60
        while not wanted(reply := self.ask(service, host, command)):
            assert time.monotonic() < until, reply
        return reply

    def saves(self, host: str) -> int:
        """Count the snapshots that a server has written."""
        (found,) = re.findall(r"rdb_saves:(\d+)", self.ask("near", host, "INFO persistence"))
        return int(found)

    def snapshot(self, host: str) -> None:
        """Let the time come at which a server with hourly snapshots writes one, and wait for it."""
        saves = self.saves(host)
        self.region.fogbank("clock", "advance", "61m")
        wait_until(lambda: self.saves(host) > saves)

    def replicated(self, host: str) -> bool:
        """Return whether a primary's replica has all that it has."""
        text = str(self.ask("near", host, "INFO replication"))
        has = re.findall(r"slave0:.*state=online,offset=(\d+)", text)
        return has == re.findall(r"master_repl_offset:(\d+)", text)

    def servers(self) -> dict[str, int]:
        """Find the processes of the servers below the region's own, by the data folder that each has."""
        (running,) = self.region.home.glob("state/fogbank/*/running.json")
        found = {}
        for process in below(json.loads(running.read_text())["pid"]):
            try:
                status = Path(f"/proc/{process}/status").read_text()
                mounts = Path(f"/proc/{process}/mountinfo").read_text().splitlines()
            except OSError:  # it has ended just now
                continue
            data = [line.split()[3] for line in mounts if line.split()[4] == "/data"]
            # The first of its container: a snapshot is written by a child.
            if status.startswith("Name:\tredis-server\n") and re.search(r"NSpid:.*\t1\n", status) and data:
                found[data[0].rpartition("/")[2]] = process
        return found

    def kill_server(self, host: str) -> None:
        """Kill the server that has ``host``; while a new one takes another's place there is none."""
        serving: list[int] = []

        def found() -> bool:
            serving[:] = [each for each in self.servers().values() if host in addresses(each)]
            return len(serving) == 1

        wait_until(found)
        os.kill(serving[0], signal.SIGKILL)

    def start(self) -> None:
        self.region.fogbank("up", "--detach", "--port", "0", timeout=60)
        self.region.environment = applied(
            json.loads(self.region.fogbank("env", "--format", "json")), os.environ
        )


def addresses(process: int) -> str:
    """Read the addresses that a process's network has: none when the process has ended."""
    try:
        return Path(f"/proc/{process}/net/fib_trie").read_text()
    except OSError:
        return ""


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    """A region whose service ``near`` is where the instances are; it keeps its state."""
    fetch_servers("redis")
    region = start_region(short_folder())
    try:
        made = Redis(region)
        made.network("run-vpc")
        made.service("near", HERE, made.connector("near", "run-vpc", HERE, "10.8.0.0/28"))
        yield made
    finally:
        end_region(region)


@pytest.fixture(scope="module")
def cache(redis: Redis) -> str:
    """Give the host of a BASIC instance."""
    host: str = redis.create("cache")["host"]
    return host


@pytest.fixture(scope="module")
def durable(redis: Redis) -> str:
    """Give the host of a BASIC instance with hourly snapshots."""
    rdb = {"persistenceMode": "RDB", "rdbSnapshotPeriod": "ONE_HOUR"}
    host: str = redis.create("durable", persistenceConfig=rdb)["host"]
    return host


def test_a_service_counts_its_visitors_through_a_connector(redis: Redis, cache: str) -> None:
    assert [redis.ask("near", cache, "INCR visitors") for _ in range(2)] == [1, 2]
    # Redis sees a machine of the connector, not the instance of the service.
    assert " addr=10.8.0." in redis.ask("near", cache, "CLIENT LIST")
    shown = redis.get("cache")
    assert (shown["state"], shown["port"], shown["redisVersion"]) == ("READY", 6379, "REDIS_7_0")
    status = json.loads(redis.region.fogbank("status", "--format", "json"))
    assert [row["server"] for row in status["redis"] if row["address"] == f"{cache}:6379"] == ["7.0.15"]


def test_a_packet_to_an_instance_goes_as_predicted(redis: Redis, cache: str) -> None:
    text = redis.region.fogbank("trace", "run/near", f"{cache}:6379", "--probe", "--format", "json")
    trace = json.loads(text)
    assert (trace["predicted"]["disposition"], trace["differences"]) == ("DELIVERED", []), trace


def test_blocked_commands_do_not_exist(redis: Redis, cache: str) -> None:
    for command in ("CONFIG GET *", "SHUTDOWN NOSAVE", "SLAVEOF NO ONE", "DEBUG SLEEP 1", "ACL LIST"):
        word = command.split()[0]
        assert redis.ask("near", cache, command).startswith(f"redis: ERR unknown command '{word}'")
    assert "NOPERM" in redis.ask("near", cache, "PSYNC ? -1")
    assert redis.ask("near", cache, "PING") == "PONG"


def test_another_region_another_network_and_no_network_time_out(redis: Redis, cache: str) -> None:
    redis.network("other-vpc")
    redis.service("far", ELSEWHERE, redis.connector("far", "run-vpc", ELSEWHERE, "10.9.0.0/28"))
    redis.service("other", HERE, redis.connector("other", "other-vpc", HERE, "10.8.0.0/28"))
    redis.service("outside", HERE, None)
    for service in ("far", "other", "outside"):
        assert "timeout" in redis.ask(service, cache, "PING", timeout=1), service
    text = redis.region.fogbank("trace", "run/far", f"{cache}:6379", "--probe", "--format", "json")
    trace = json.loads(text)
    assert (trace["predicted"]["disposition"], trace["differences"]) == ("DROPPED: FIREWALL_RULE", []), trace


def test_rules_of_the_network_hold_clients_back_and_no_server(redis: Redis, cache: str) -> None:
    everything = {"network": NETWORK, "denied": [{"IPProtocol": "all"}], "priority": 0}
    redis.compute("global/firewalls", {"name": "closed", "direction": "INGRESS", **everything})
    assert redis.ask("near", cache, "PING") == "PONG"
    out = {"name": "out", "direction": "EGRESS", "destinationRanges": [f"{cache}/32"], **everything}
    redis.compute("global/firewalls", out)
    assert "timeout" in redis.ask("near", cache, "PING", timeout=1)
    for name in ("out", "closed"):
        operation = redis.call("DELETE", f"{COMPUTE}/global/firewalls/{name}")
        redis.call("POST", operation["selfLink"].replace("www.", "compute.", 1) + "/wait")
    assert redis.ask("near", cache, "PING") == "PONG"


def test_a_changed_instance_keeps_its_server_and_its_data(redis: Redis, cache: str) -> None:
    redis.ask("near", cache, "SET kept 1")
    before = redis.servers()
    redis.call(
        "PATCH",
        f"{REDIS}/cache?updateMask=memory_size_gb,auth_enabled",
        {"memorySizeGb": 2, "authEnabled": True},
    )
    assert "NOAUTH" in redis.ask("near", cache, "GET kept")
    assert redis.call("GET", f"{REDIS}/cache/authString")["authString"]
    redis.call("PATCH", f"{REDIS}/cache?updateMask=auth_enabled", {"authEnabled": False})
    assert redis.ask("near", cache, "GET kept") == "1"
    assert "maxmemory:2147483648" in redis.ask("near", cache, "INFO memory")
    assert redis.servers() == before


def test_memory_is_limited(redis: Redis) -> None:
    small = {"maxmemory-gb": "0.002", "maxmemory-policy": "noeviction"}
    host = redis.create("small", redisConfigs=small)["host"]
    assert redis.ask("near", host, "SETRANGE a 1000000 x") == 1000001
    redis.ask("near", host, "SETRANGE b 2000000 x")
    assert "OOM command not allowed" in redis.ask("near", host, "SET c 1")


def test_encrypted_instances_answer_only_with_their_own_authority(redis: Redis) -> None:
    made = redis.create("secret", transitEncryptionMode="SERVER_AUTHENTICATION")
    assert made["port"] == 6378
    (authority,) = redis.get("secret")["serverCaCerts"]
    assert authority["cert"].startswith("-----BEGIN CERTIFICATE-----")
    assert len(authority["sha1Fingerprint"]) == 40
    url = redis.urls["near"] + f"/egress?url=https://{made['host']}:6378/"
    assert "CERTIFICATE_VERIFY_FAILED" in json.loads(redis.region.curl(url))["error"]
    assert "refused" in redis.ask("near", made["host"], "PING") or "timeout" in redis.ask(
        "near", made["host"], "PING", timeout=1
    )


def test_a_replica_takes_over_with_all_data_on_demand_and_when_the_primary_is_lost(redis: Redis) -> None:
    made = redis.create("ha", tier="STANDARD_HA")
    host = made["host"]
    assert redis.ask("near", host, "INCR counter") == 1
    redis.call("POST", f"{REDIS}/ha:failover", {})
    assert redis.ask("near", host, "INCR counter") == 2
    moved = redis.get("ha")
    assert (moved["state"], moved["host"]) == ("READY", host)
    assert moved["currentLocationId"] == made["alternativeLocationId"]
    wait_until(lambda: redis.replicated(host))
    redis.kill_server(host)
    counted = redis.eventually("near", host, "INCR counter", lambda reply: isinstance(reply, int))
    assert counted == 3
    assert redis.get("ha")["currentLocationId"] == made["locationId"]
    wait_until(lambda: redis.replicated(host))


def test_read_replicas_share_the_connections_of_their_endpoint_and_one_takes_over(redis: Redis) -> None:
    big = {"tier": "STANDARD_HA", "memorySizeGb": 5}
    assert "readEndpoint" not in redis.create("reads", **big)
    enabled = {
        "readReplicasMode": "READ_REPLICAS_ENABLED",
        "secondaryIpRange": "auto",
        "replicaCount": 2,
    }
    mask = "read_replicas_mode,secondary_ip_range,replica_count"
    made = redis.call("PATCH", f"{REDIS}/reads?updateMask={mask}", enabled)
    host, reads = made["host"], made["readEndpoint"]
    assert (made["replicaCount"], len(made["nodes"])) == (2, 3)
    assert redis.ask("near", host, "SET a 1") == "OK"
    seen: set[str] = set()

    def both_answered() -> bool:
        text = redis.ask("near", reads, "INFO server")
        seen.update(re.findall(r"run_id:(\w+)", text))
        return len(seen) == 2

    wait_until(both_answered)
    assert redis.eventually("near", reads, "GET a", lambda reply: reply == "1")
    assert "READONLY" in redis.ask("near", reads, "SET a 2")
    text = redis.region.fogbank("trace", "run/near", f"{reads}:6379", "--probe", "--format", "json")
    trace = json.loads(text)
    assert (trace["predicted"]["disposition"], trace["differences"]) == ("DELIVERED", []), trace
    redis.call("POST", f"{REDIS}/reads:failover", {})
    assert redis.ask("near", host, "INCR a") == 2
    redis.eventually("near", reads, "GET a", lambda reply: reply == "2")
    fewer = redis.call("PATCH", f"{REDIS}/reads?updateMask=replica_count", {"replicaCount": 1})
    assert len(fewer["nodes"]) == 2
    assert redis.eventually("near", reads, "GET a", lambda reply: reply == "2")


def test_a_lost_server_is_started_again_with_what_google_keeps(
    redis: Redis, cache: str, durable: str
) -> None:
    for host in (cache, durable):
        assert redis.ask("near", host, "SET before snapshot") == "OK"
    redis.snapshot(durable)
    redis.ask("near", durable, "SET after snapshot")
    for host in (cache, durable):
        redis.kill_server(host)
    for host, kept in ((cache, None), (durable, "snapshot")):
        back = lambda reply: reply in (None, "snapshot")  # noqa: E731
        assert redis.eventually("near", host, "GET before", back) == kept
    assert redis.ask("near", durable, "GET after") is None


def test_down_and_up_keep_all_data_and_a_killed_region_the_snapshots(
    redis: Redis, cache: str, durable: str
) -> None:
    assert redis.ask("near", cache, "SET held 1") == "OK"
    assert redis.ask("near", durable, "SET held snapshot") == "OK"
    redis.snapshot(durable)
    redis.region.fogbank("down")
    redis.start()
    answers = lambda reply: reply in (None, "1", "snapshot")  # noqa: E731
    assert redis.eventually("near", cache, "GET held", answers) == "1"
    (running,) = redis.region.home.glob("state/fogbank/*/running.json")
    os.kill(json.loads(running.read_text())["pid"], signal.SIGKILL)
    redis.start()
    assert redis.eventually("near", cache, "GET held", answers) is None
    assert redis.eventually("near", durable, "GET held", answers) == "snapshot"


def test_a_deleted_instance_leaves_nothing(redis: Redis) -> None:
    host = redis.create("short-lived")["host"]
    folders = redis.region.home / "state/fogbank" / redis.region.name / "data"
    before = {each.name for each in folders.iterdir()}
    redis.call("DELETE", f"{REDIS}/short-lived")
    assert "timeout" in redis.ask("near", host, "PING", timeout=1)
    wait_until(lambda: len(list(folders.iterdir())) == len(before) - 1)
    (gone,) = before - {each.name for each in folders.iterdir()}
    assert gone not in redis.servers()


def test_gcloud_shows_changes_and_deletes_instances(
    redis: Redis, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with load_gcloud(tmp_path_factory.mktemp("gcloud")) as loaded:
        region = LoadedRegion(redis.region.name, redis.region.home, redis.region.environment, loaded)
        instances, here = ("redis", "instances"), f"--region={HERE}"
        region.gcloud(
            *instances, "create", "fam", "--size=1", here, "--network=run-vpc", "--redis-version=redis_6_x"
        )
        made = region.gcloud_json(*instances, "describe", "fam", here)
        assert (made["state"], made["redisVersion"], made["authorizedNetwork"]) == (
            "READY",
            "REDIS_6_X",
            NETWORK,
        )
        region.gcloud(*instances, "update", "fam", here, "--size=2", "--update-labels=a=b", "--enable-auth")
        assert region.gcloud(*instances, "get-auth-string", "fam", here).stdout.startswith("authString: ")
        region.gcloud(*instances, "upgrade", "fam", here, "--redis-version=redis_7_0")
        listed = region.gcloud(
            *instances, "list", here, "--filter=labels.a=b", "--format=value(memorySizeGb,redisVersion)"
        )
        assert listed.stdout.split() == ["2", "REDIS_7_0"]
        refused = region.gcloud(*instances, "failover", "fam", here, check=False)
        assert (refused.returncode, "STANDARD_HA" in refused.stderr) == (1, True)
        peered = region.gcloud(
            "compute", "networks", "peerings", "list", "--network=run-vpc", "--format=value(peerings.name)"
        )
        assert "redis-peer-" in peered.stdout
        region.gcloud(*instances, "delete", "fam", here)
        assert "was not found" in region.gcloud(*instances, "describe", "fam", here, check=False).stderr


def test_without_a_server_on_this_machine_creation_fails_with_the_command_that_fetches_it(
    new_region: Callable[..., RunningRegion], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    region = Redis(new_region("--ephemeral"))
    region.network("run-vpc")
    with pytest.raises(AssertionError, match="fogbank images fetch redis"):
        region.create("cache")
    status, _ = region.region.api("GET", f"{REDIS}/cache")
    assert status == 404
    fetch_servers("redis")
    wait_until(lambda: region.region.api("POST", f"{REDIS}?instanceId=cache", CACHE)[0] == 200)
    wait_until(lambda: region.region.api("GET", f"{REDIS}/cache")[1].get("state") == "READY")


def test_an_instance_in_an_allocated_range_is_reached_and_holds_its_connection(
    redis: Redis, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with load_gcloud(tmp_path_factory.mktemp("gcloud")) as loaded:
        region = LoadedRegion(redis.region.name, redis.region.home, redis.region.environment, loaded)
        peerings = ("services", "vpc-peerings")
        theirs = ("--service=servicenetworking.googleapis.com", "--network=run-vpc")
        region.gcloud(
            *("compute", "addresses", "create", "psa", "--global", "--purpose=VPC_PEERING"),
            *("--addresses=10.200.0.0", "--prefix-length=16", "--network=run-vpc"),
        )
        region.gcloud(*peerings, "connect", "--ranges=psa", *theirs)
        made = redis.create("psa", connectMode="PRIVATE_SERVICE_ACCESS")
        assert made["reservedIpRange"] == "10.200.0.0/29"
        assert redis.ask("near", made["host"], "INCR counter") == 1
        refused = region.gcloud(*peerings, "delete", *theirs, "--quiet", check=False)
        assert "are still using this connection" in refused.stderr
        redis.call("DELETE", f"{REDIS}/psa")
        region.gcloud(*peerings, "delete", *theirs, "--quiet")
        assert region.gcloud_json(*peerings, "list", "--network=run-vpc") == []
