"""Article 003's two uses of Direct VPC egress, with real gcloud and Google's Python clients.

A schedule calls a private service, which fetches from a partner that admits one address and writes what it
gets to Spanner. It tells an OpenTelemetry collector of each call, by a name of a private zone and over
internal addresses only; the collector hands spans and log records on to Google's.
"""

import json
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from fogbank.dataplane.linux.spanner_emulator import emulator_folder
from fogbank.testing import RunningRegion, end_region, short_folder, start_region

AN1 = "asia-northeast1"
PARTNER = "data.partner.example"
IMAGES = "us-docker.pkg.dev/fogbank/samples"
DATABASE = "projects/demo/instances/store/databases/copies"
NETWORK = f"""
compute networks create run-vpc --subnet-mode=custom
compute networks subnets create run-subnet --network=run-vpc --region={AN1} --range=10.214.0.0/20 --enable-private-ip-google-access
compute routers create run-router --network=run-vpc --region={AN1}
compute addresses create partner-ip --region={AN1}
compute routers nats create run-nat --router=run-router --region={AN1} --nat-all-subnet-ip-ranges --nat-external-ip-pool=partner-ip
iam service-accounts create syncer
run deploy collector --image={IMAGES}/collector --region={AN1} --ingress=internal --no-allow-unauthenticated --port=4318
dns managed-zones create run-app --dns-name=run.app. --description= --visibility=private --networks=run-vpc
"""  # noqa: E501
SPANNER = """
spanner instances create store --config=regional-asia-northeast1 --description=x --nodes=1
spanner databases create copies --instance=store --ddl='CREATE TABLE copies (id STRING(16), partner STRING(MAX), body STRING(MAX)) PRIMARY KEY (id)'
"""  # noqa: E501

pytestmark = [pytest.mark.slow(25), pytest.mark.netns, pytest.mark.xdist_group("article-003-synchronisation")]


@dataclass(frozen=True)
class Scene:
    """The region after the schedule has called the service once."""

    region: RunningRegion
    reserved: str
    collector: str
    job: Any
    """The schedule's job as Cloud Scheduler shows it afterwards."""

    def gcloud_json(self, line: str) -> Any:
        return json.loads(self.region.gcloud(*shlex.split(line), "--format=json").stdout)

    def client(self, script: str) -> Any:
        """Run a script with Google's Python clients; give the JSON that it prints."""
        return json.loads(self.region.run(sys.executable, "-c", script).stdout)


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """Build the article's network and services, and have the schedule run once."""
    region = start_region(short_folder(), "--ephemeral", "--region", AN1)

    def gcloud(line: str) -> str:
        return str(region.gcloud(*shlex.split(line), "--quiet").stdout).strip()

    def url_of(service: str) -> str:
        return gcloud(f"run services describe {service} --region={AN1} --format=value(status.url)")

    for line in (NETWORK + (SPANNER if emulator_folder() else "")).splitlines():
        if line:
            gcloud(line)
    reserved = gcloud(f"compute addresses describe partner-ip --region={AN1} --format=value(address)")
    region.fogbank("internet", "add", PARTNER, "--allow", f"{reserved}/32")
    collector = url_of("collector")
    name = collector.removeprefix("https://")
    google = ",".join(f"199.36.153.{number}" for number in range(8, 12))
    gcloud(f"dns record-sets create {name}. --zone=run-app --type=A --ttl=300 --rrdatas={google}")
    variables = {
        "PARTNER": f"http://{PARTNER}/data",
        "DATABASE": DATABASE,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
    }
    gcloud(
        f"run deploy sync --image={IMAGES}/sync --region={AN1} --ingress=internal --no-allow-unauthenticated "
        "--network=run-vpc --subnet=run-subnet --vpc-egress=all-traffic "
        f"--set-env-vars={','.join(f'{key}={value}' for key, value in variables.items())}"
    )
    account = "syncer@demo.iam.gserviceaccount.com"
    gcloud(
        f"run services add-iam-policy-binding sync --region={AN1} --role=roles/run.invoker "
        f"--member=serviceAccount:{account}"
    )
    url = url_of("sync")
    gcloud(
        f"scheduler jobs create http sync --location={AN1} --schedule='0 0 29 2 *' --uri={url}/ "
        f"--http-method=GET --oidc-service-account-email={account} --oidc-token-audience={url}"
    )
    # by hand: a schedule of the article's might call it once more while the test looks
    gcloud(f"scheduler jobs run sync --location={AN1}")
    deadline = time.monotonic() + 60
    while "lastAttemptTime" not in (job := json.loads(_described(region))):
        assert time.monotonic() < deadline, job
    yield Scene(region, reserved, collector, job)
    end_region(region)


def _described(region: RunningRegion) -> str:
    job = ("scheduler", "jobs", "describe", "sync", f"--location={AN1}", "--format=json")
    return str(region.gcloud(*job).stdout)


def test_the_schedule_calls_the_private_service(scene: Scene) -> None:
    """Only with Spanner does the service answer 200."""
    assert scene.job["status"] == ({} if emulator_folder() else {"code": 13}), scene.region.fogbank(
        "logs", "run/sync"
    )


def test_the_partner_sees_the_reserved_address_alone(scene: Scene) -> None:
    seen = scene.region.site_access_log(PARTNER)
    assert {(each["sourceIp"], each["status"]) for each in seen} == {(scene.reserved, 200)}


def test_what_the_partner_has_is_in_spanner(scene: Scene) -> None:
    if emulator_folder() is None:
        assert "gcloud components install cloud-spanner-emulator" in scene.region.fogbank("logs", "run/sync")
        return
    rows = scene.client(
        """
import json
from google.cloud import spanner
database = spanner.Client(project="demo").instance("store").database("copies")
with database.snapshot() as snapshot:
    rows = list(snapshot.execute_sql("SELECT partner, LENGTH(body) > 0 FROM copies"))
print(json.dumps(rows))
"""
    )
    assert rows == [[f"http://{PARTNER}/data", True]]


def test_the_collector_is_known_by_a_private_name_and_reached_over_internal_addresses(scene: Scene) -> None:
    shown = scene.region.fogbank("trace", "run/sync", scene.collector, "--probe", "--format", "json")
    trace = json.loads(shown)
    assert trace["differences"] == [], trace
    sightings = trace["observed"]["sightings"]
    sources = {each["source"].partition(":")[0] for each in sightings}
    destinations = {each["destination"].partition(":")[0] for each in sightings}
    assert all(each.startswith("10.214.") for each in sources), sources
    assert all(each.startswith("199.36.153.") for each in destinations), destinations


def test_the_span_is_read_from_cloud_trace(scene: Scene) -> None:
    spans = scene.client(
        """
import json
from google.cloud import trace_v1
client = trace_v1.TraceServiceClient()
found = client.list_traces(request={"project_id": "demo", "view": 3, "filter": "+span:copy"})
print(json.dumps([[span.name, span.kind.name, span.labels.get("service.name", "")]
                  for trace in found for span in trace.spans if span.name == "copy"]))
"""
    )
    assert spans == [["copy", "RPC_SERVER", "sync"]]


def test_the_log_record_is_read_from_cloud_logging_beside_its_trace(scene: Scene) -> None:
    (entry,) = scene.gcloud_json("logging read 'log_id(\"otlp_logs\")' --limit=5")
    assert entry["severity"] == ("INFO" if emulator_folder() else "ERROR")
    assert entry["trace"].startswith("projects/demo/traces/")
    assert ("source" if emulator_folder() else "error") in json.loads(entry["textPayload"])
