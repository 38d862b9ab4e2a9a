"""Cloud SQL with real servers: who reaches them, what survives what, and gcloud's commands.

A service in Cloud Run with Direct VPC egress is the client. The PostgreSQL is Debian's, fetched once into the
cache that all tests share.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.loaded_gcloud import LoadedRegion, load_gcloud
from tests.processes import below

from fogbank.frontend.client_environment import applied
from fogbank.testing import RunningRegion, end_region, fetch_servers, short_folder, start_region

HERE = "asia-northeast1"
COMPUTE = "https://compute.googleapis.com/compute/v1/projects/demo"
NETWORKING = "https://servicenetworking.googleapis.com/v1/services/servicenetworking.googleapis.com"
RUN = f"https://run.googleapis.com/v2/projects/demo/locations/{HERE}/services"
SQL = "https://sqladmin.googleapis.com/v1/projects/demo"
NETWORK = "projects/demo/global/networks/app"
SECONDS = 90.0

pytestmark = [pytest.mark.slow(40), pytest.mark.netns, pytest.mark.xdist_group("cloud-sql")]


class CloudSql:
    """A region with a network that has private services access, and a service in it that asks."""

    def __init__(self, region: RunningRegion) -> None:
        self.region = region
        self.urls: dict[str, str] = {}

    def call(self, method: str, url: str, body: Any = None) -> Any:
        """Call an API, and wait for the operation that it opens; give the answer."""
        status, answer = self.region.api(method, url, body)
        assert status == 200, answer
        return self._done(url.split("/")[2], answer)

    def _done(self, host: str, answer: Any) -> Any:
        until = time.monotonic() + SECONDS
        while (where := self._operation(host, answer)) is not None:
            assert time.monotonic() < until, answer
            status, answer = self.region.api("GET", where)
            assert status == 200, answer
        assert "error" not in answer, answer
        return answer

    def _operation(self, host: str, answer: Any) -> str | None:
        """Name the operation that is not done yet; None when nothing has to be waited for."""
        kind = answer.get("kind", "")
        if kind == "sql#operation":
            return None if answer["status"] == "DONE" else f"{SQL}/operations/{answer['name']}"
        if kind == "compute#operation":
            done = answer["status"] == "DONE"
            return None if done else answer["selfLink"].replace("www.", "compute.", 1)
        pending = "operations/" in str(answer.get("name", "")) and not answer.get("done")
        return f"https://{host}/v1/{answer['name']}" if pending else None

    def network(self, name: str, subnet: str) -> None:
        self.call("POST", f"{COMPUTE}/global/networks", {"name": name, "autoCreateSubnetworks": False})
        body = {"name": name, "network": f"projects/demo/global/networks/{name}", "ipCidrRange": subnet}
        self.call("POST", f"{COMPUTE}/regions/{HERE}/subnetworks", body)

    def connect_services(self, name: str, prefix: str) -> None:
        """Give a network private services access."""
        body = {
            "name": f"psa-{name}", "purpose": "VPC_PEERING", "addressType": "INTERNAL", "address": prefix,
            "prefixLength": 20, "network": f"projects/demo/global/networks/{name}",
        }  # fmt: skip
        self.call("POST", f"{COMPUTE}/global/addresses", body)
        connection = {"network": body["network"], "reservedPeeringRanges": [body["name"]]}
        self.call("POST", f"{NETWORKING}/connections", connection)

    def service(self, name: str, network: str, sockets: tuple[str, ...] = ()) -> None:
        """Deploy netcheck with Direct VPC egress into a network."""
        interface = {"network": network, "subnetwork": network}
        template: dict[str, Any] = {
            "containers": [{"image": "us-docker.pkg.dev/fogbank/samples/netcheck"}],
            "vpcAccess": {"networkInterfaces": [interface], "egress": "PRIVATE_RANGES_ONLY"},
        }
        if sockets:
            template["volumes"] = [{"name": "cloudsql", "cloudSqlInstance": {"instances": list(sockets)}}]
            mounts = [{"name": "cloudsql", "mountPath": "/cloudsql"}]
            template["containers"] = [{**template["containers"][0], "volumeMounts": mounts}]
        body = {"template": template, "invokerIamDisabled": True}
        operation = self.call("POST", f"{RUN}?serviceId={name}", body)
        self.urls[name] = operation["response"]["uri"]

    def create(self, name: str, **settings: Any) -> str:
        """Make an instance; give its address."""
        ip = {"ipv4Enabled": False, "privateNetwork": NETWORK, **settings.pop("ip", {})}
        body = {
            "name": name, "region": HERE, "databaseVersion": "POSTGRES_15", "rootPassword": "root's",
            "settings": {"tier": "db-f1-micro", "ipConfiguration": ip, **settings},
        }  # fmt: skip
        self.call("POST", f"{SQL}/instances", body)
        return str(self.get(name)["ipAddresses"][0]["ipAddress"])

    def get(self, name: str) -> dict[str, Any]:
        status, found = self.region.api("GET", f"{SQL}/instances/{name}")
        assert status == 200, found
        return dict(found)

    def ask(self, host: str, sql: str, *, service: str = "near", **login: str) -> Any:
        """Have a service run one statement; give the rows, or the error."""
        given = {"user": "postgres", "password": "root's", "database": "postgres", "timeout": "5", **login}
        query = "&".join(
            f"{key}={quote(value)}" for key, value in (given | {"host": host, "sql": sql}).items()
        )
        answer = json.loads(self.region.curl(f"{self.urls[service]}/postgres?{query}"))
        return answer["rows"] if answer["ok"] else answer["error"]

    def eventually(self, host: str, sql: str, service: str = "near") -> Any:
        """Ask until there are rows: a server is starting."""
        until = time.monotonic() + SECONDS
        while isinstance(answer := self.ask(host, sql, service=service), str):
            assert time.monotonic() < until, answer
        return answer

    def kill_server(self) -> None:
        """Kill the PostgreSQL servers below the region's own process."""
        for process in self.below():
            try:
                status = Path(f"/proc/{process}/status").read_text()
            except OSError:  # it has ended just now
                continue
            if status.startswith("Name:\tpostgres\n") and "\t1\n" in status:
                os.kill(process, signal.SIGKILL)

    def below(self) -> Iterator[int]:
        return below(self.pid)

    @property
    def pid(self) -> int:
        (running,) = self.region.home.glob("state/fogbank/*/running.json")
        return int(json.loads(running.read_text())["pid"])

    def start(self) -> None:
        self.region.fogbank("up", "--detach", "--port", "0", timeout=60)
        printed = json.loads(self.region.fogbank("env", "--format", "json"))
        self.region.environment = applied(printed, os.environ)


@pytest.fixture(scope="module")
def sql() -> Iterator[CloudSql]:
    """A region that keeps its state."""
    fetch_servers("postgres")
    region = start_region(short_folder())
    try:
        made = CloudSql(region)
        made.network("app", "10.8.0.0/26")
        made.network("other", "10.9.0.0/26")
        made.connect_services("app", "10.200.0.0")
        made.service("near", "app")
        made.service("far", "other")
        yield made
    finally:
        end_region(region)


@pytest.fixture(scope="module")
def host(sql: CloudSql) -> str:
    return sql.create("db")


def test_a_service_writes_and_reads_by_the_private_address_and_another_network_does_not(
    sql: CloudSql, host: str
) -> None:
    shown = sql.get("db")
    assert (shown["state"], shown["connectionName"]) == ("RUNNABLE", f"demo:{HERE}:db")
    assert sql.ask(host, "CREATE TABLE seen (who text); INSERT INTO seen VALUES ('near')") == []
    assert sql.ask(host, "SELECT who FROM seen") == [["near"]]
    assert "password authentication failed" in sql.ask(host, "SELECT 1", password="guess")
    assert sql.ask(host, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", tls="1") == [["t"]]
    assert sql.ask(host, "SELECT 1", service="far", timeout="1") == "timeout"
    path = json.loads(sql.region.fogbank("trace", "run/near", f"{host}:5432", "--probe", "--format", "json"))
    assert (path["predicted"]["disposition"], path["differences"]) == ("DELIVERED", [])
    path = json.loads(sql.region.fogbank("trace", "run/far", f"{host}:5432", "--probe", "--format", "json"))
    assert path["differences"] == []
    assert path["predicted"]["disposition"].startswith("DROPPED")


def test_databases_and_users_are_the_servers(sql: CloudSql, host: str) -> None:
    sql.call("POST", f"{SQL}/instances/db/databases", {"name": "my-app"})
    sql.call("POST", f"{SQL}/instances/db/users", {"name": "alice", "password": "p'w"})
    login = {"user": "alice", "password": "p'w", "database": "my-app"}
    assert sql.ask(host, "SELECT current_user, current_database()", **login) == [["alice", "my-app"]]
    sql.call("PUT", f"{SQL}/instances/db/users?name=alice", {"name": "alice", "password": "new"})
    assert "password authentication failed" in sql.ask(host, "SELECT 1", **login)
    assert sql.ask(host, "CREATE TABLE mine (n int)", **(login | {"password": "new"})) == []
    sql.call("DELETE", f"{SQL}/instances/db/users?name=alice")
    assert sql.ask(host, "SELECT 1 FROM pg_roles WHERE rolname = 'alice'") == []
    sql.call("DELETE", f"{SQL}/instances/db/databases/my-app")
    assert sql.ask(host, "SELECT 1 FROM pg_database WHERE datname = 'my-app'") == []


def test_data_survives_a_lost_server_a_stop_and_a_killed_region(sql: CloudSql) -> None:
    host = sql.create("lasting")
    assert sql.ask(host, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)") == []
    sql.kill_server()
    assert sql.eventually(host, "SELECT n FROM kept") == [["1"]]
    policy = {"settings": {"activationPolicy": "NEVER"}}
    sql.call("PATCH", f"{SQL}/instances/lasting", policy)
    assert sql.ask(host, "SELECT 1", timeout="1") in {"refused", "timeout"}
    flags = [{"name": "log_statement", "value": "all"}]
    always = {"settings": {"activationPolicy": "ALWAYS", "databaseFlags": flags}}
    sql.call("PATCH", f"{SQL}/instances/lasting", always)
    assert sql.ask(host, "SHOW log_statement") == [["all"]]
    sql.region.fogbank("down")
    sql.start()
    assert sql.eventually(host, "SELECT n FROM kept") == [["1"]]
    os.kill(sql.pid, signal.SIGKILL)
    sql.start()
    assert sql.eventually(host, "SELECT n FROM kept") == [["1"]]
    folders = sql.region.home / "state/fogbank" / sql.region.name / "data"
    before = set(folders.iterdir())
    sql.call("DELETE", f"{SQL}/instances/lasting")
    until = time.monotonic() + SECONDS
    while set(folders.iterdir()) == before:
        assert time.monotonic() < until


def test_an_instance_that_begins_stopped_has_its_password_and_a_bad_setting_can_be_taken_back(
    sql: CloudSql,
) -> None:
    host = sql.create("late", activationPolicy="NEVER")
    assert sql.ask(host, "SELECT 1", timeout="1") in {"refused", "timeout"}
    bad = [{"name": "timezone", "value": "Mars/Phobos"}]
    always = {"settings": {"activationPolicy": "ALWAYS", "databaseFlags": bad}}
    status, operation = sql.region.api("PATCH", f"{SQL}/instances/late", always)
    assert status == 200, operation
    until = time.monotonic() + SECONDS
    while operation["status"] != "DONE":
        assert time.monotonic() < until, operation
        _, operation = sql.region.api("GET", f"{SQL}/operations/{operation['name']}")
    assert "does not start with these settings" in operation["error"]["errors"][0]["message"]
    assert sql.get("late")["state"] == "FAILED"
    sql.call("PATCH", f"{SQL}/instances/late", {"settings": {"databaseFlags": []}})
    assert sql.get("late")["state"] == "RUNNABLE"
    assert sql.ask(host, "SELECT 1") == [["1"]]
    sql.call("DELETE", f"{SQL}/instances/late")


def test_a_service_reaches_an_instance_by_its_socket(sql: CloudSql, host: str) -> None:
    connection = f"demo:{HERE}:db"
    sql.service("socket", "app", (connection,))
    folder = f"/cloudsql/{connection}"
    assert sql.eventually(folder, "SELECT 1", service="socket") == [["1"]]
    seen = sql.ask(folder, "SELECT host(inet_server_addr())", service="socket")
    assert seen == [[host]]
    # The packets went the service's own way.
    (client,) = sql.ask(folder, "SELECT host(inet_client_addr())", service="socket")
    assert client[0].startswith("10.8.0.")
    logged = sql.region.fogbank("logs", "run/socket")
    assert f"Cloud SQL connections: {connection}" in logged


def test_an_instance_for_encrypted_connections_takes_no_other(sql: CloudSql) -> None:
    host = sql.create("sealed", ip={"sslMode": "ENCRYPTED_ONLY"})
    assert "no encryption" in sql.ask(host, "SELECT 1")
    assert sql.ask(host, "SELECT 1", tls="1") == [["1"]]
    sql.call("DELETE", f"{SQL}/instances/sealed")


def test_gclouds_commands(sql: CloudSql, host: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    with load_gcloud(tmp_path_factory.mktemp("gcloud")) as loaded:
        region = LoadedRegion(sql.region.name, sql.region.home, sql.region.environment, loaded)
        settings = (
            "--tier=db-f1-micro",
            f"--region={HERE}",
            "--no-assign-ip",
            "--database-version=POSTGRES_16",
        )
        refused = region.gcloud("sql", "instances", "create", "no", *settings, "--network=other", check=False)
        assert "SERVICE_NETWORKING_NOT_ENABLED" in refused.stderr
        region.gcloud("sql", "instances", "create", "mine", *settings, "--network=app", "--root-password=x")
        listed = json.loads(region.gcloud("sql", "instances", "list", "--format=json").stdout)
        assert {each["name"] for each in listed} >= {"db", "mine"}
        region.gcloud("sql", "databases", "create", "app", "--instance=mine")
        region.gcloud("sql", "users", "create", "bob", "--instance=mine", "--password=b")
        users = json.loads(region.gcloud("sql", "users", "list", "--instance=mine", "--format=json").stdout)
        assert [each["name"] for each in users] == ["bob", "postgres"]
        region.gcloud("sql", "instances", "restart", "mine", "--quiet")
        region.gcloud(
            *("run", "deploy", "by-gcloud", "--image=us-docker.pkg.dev/fogbank/samples/netcheck"),
            *(f"--region={HERE}", "--network=app", "--subnet=app", "--allow-unauthenticated"),
            "--add-cloudsql-instances=mine",
        )
        described = region.gcloud(
            "run", "services", "describe", "by-gcloud", f"--region={HERE}", "--format=json"
        )
        sql.urls["by-gcloud"] = json.loads(described.stdout)["status"]["url"]
        login = {"service": "by-gcloud", "password": "x"}
        assert sql.ask(f"/cloudsql/demo:{HERE}:mine", "SELECT 2", **login) == [["2"]]
        kinds = region.gcloud("sql", "operations", "list", "--instance=mine", "--format=value(operationType)")
        assert set(kinds.stdout.split()) == {"CREATE", "CREATE_DATABASE", "CREATE_USER", "RESTART"}
        region.gcloud("sql", "instances", "delete", "mine", "--quiet")
        assert region.gcloud("sql", "instances", "describe", "mine", check=False).returncode == 1
