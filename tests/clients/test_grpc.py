"""Google's Python clients over their default transport, gRPC, unmodified, on a running region."""

import json
import shutil
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest

from fogbank.testing import RunningRegion

pytestmark = [pytest.mark.slow(6), pytest.mark.netns]

PRELUDE = """
import json, os, threading, warnings
warnings.simplefilter("ignore")
from google.api_core import exceptions
ME = "serviceAccount:" + json.load(open(os.environ["GOOGLE_APPLICATION_CREDENTIALS"]))["client_email"]
PLACE = "projects/demo/locations/asia-northeast3"

def refusal(call, *args, **more):
    try:
        call(*args, **more)
    except exceptions.GoogleAPICallError as error:
        return [type(error).__name__, error.message, error.reason]
"""


def python(region: RunningRegion, script: str) -> dict[str, object]:
    """Run a script as a client of the region; give the JSON that it prints."""
    found: dict[str, object] = json.loads(region.run(sys.executable, "-c", PRELUDE + script).stdout)
    return found


def test_cloud_run_over_grpc(region: RunningRegion) -> None:
    answer = python(
        region,
        """
from google.cloud import run_v2
services = run_v2.ServicesClient()
image = "us-docker.pkg.dev/fogbank/samples/netcheck"
service = run_v2.Service(template={"containers": [{"image": image}]})
made = services.create_service(parent=PLACE, service=service, service_id="over-grpc").result(timeout=60)
made.labels["by"] = "grpc"
changed = services.update_service(service=made).result(timeout=60)
policy = {"bindings": [{"role": "roles/run.invoker", "members": [ME]}]}
services.set_iam_policy(request={"resource": made.name, "policy": policy})
print(json.dumps({
    "name": made.name, "state": made.terminal_condition.state.name, "labels": dict(changed.labels),
    "ingress": made.ingress.name, "year": made.create_time.year,
    "listed": [each.name for each in services.list_services(parent=PLACE)],
    "members": len(services.get_iam_policy(request={"resource": made.name}).bindings[0].members),
    "none": refusal(services.get_service, name=PLACE + "/services/none"),
    "bad": refusal(services.get_service, name="none"),
    "gone": services.delete_service(name=made.name).result(timeout=60).name,
}))
""",
    )
    name = "projects/demo/locations/asia-northeast3/services/over-grpc"
    listed = answer.pop("listed")
    assert isinstance(listed, list)
    assert name in listed
    assert isinstance(answer.pop("year"), int)
    assert answer == {
        "name": name,
        "state": "CONDITION_SUCCEEDED",
        "labels": {"by": "grpc"},
        "ingress": "INGRESS_TRAFFIC_ALL",
        "members": 1,
        "none": ["NotFound", f'service "{name.replace("over-grpc", "none")}" not found', None],
        "bad": ["InvalidArgument", "Invalid resource name 'none' in the field 'name'.", None],
        "gone": name,
    }


def test_logging_over_grpc_with_a_tail(region: RunningRegion) -> None:
    answer = python(
        region,
        """
from google.cloud import logging
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client
client = logging.Client()
logger = client.logger("over-grpc")
logger.log_struct({"a": {"b": [1, 2.5, None]}}, severity="ERROR", labels={"k": "v"})
(entry,) = client.list_entries(filter_='log_id("over-grpc") severity>=ERROR')
ticking = threading.Event()
def write():
    while not ticking.wait(0.1):
        logger.log_text("tailed")
writing = threading.Thread(target=write)
writing.start()
# the library waits for the first message before it returns
stream = LoggingServiceV2Client().tail_log_entries(
    iter([{"resource_names": ["projects/demo"], "filter": 'log_id("over-grpc")'}]))
tailed = next(iter(stream)).entries[0].text_payload
ticking.set()
writing.join()
stream.cancel()
logger.delete()
print(json.dumps({
    "payload": entry.payload, "severity": entry.severity, "labels": entry.labels, "type": entry.resource.type,
    "tailed": tailed, "left": len(list(client.list_entries(filter_='log_id("over-grpc")'))),
    "bad": refusal(lambda: list(client.list_entries(filter_="severity>="))),
}))
""",
    )
    assert answer == {
        "payload": {"a": {"b": [1, 2.5, None]}},
        "severity": "ERROR",
        "labels": {"k": "v"},
        "type": "global",
        "tailed": "tailed",
        "left": 0,
        "bad": [
            "InvalidArgument",
            "Unparseable filter: syntax error at line 1, column 12, token 'AND'",
            None,
        ],
    }


def test_other_apis_over_grpc(region: RunningRegion) -> None:
    answer = python(
        region,
        """
from google.cloud import iam_admin_v1, iam_credentials_v1, resourcemanager_v3, secretmanager_v1, vpcaccess_v1
secrets = secretmanager_v1.SecretManagerServiceClient()
secret = secrets.create_secret(
    parent="projects/demo", secret_id="over-grpc", secret={"replication": {"automatic": {}}})
secrets.add_secret_version(parent=secret.name, payload={"data": b"\\0top"})
accounts = iam_admin_v1.IAMClient()
account = accounts.create_service_account(name="projects/demo", account_id="over-grpc")
connectors = vpcaccess_v1.VpcAccessServiceClient()
credentials = iam_credentials_v1.IAMCredentialsClient()
projects = resourcemanager_v3.ProjectsClient()
owner = {"bindings": [{"role": "roles/iam.serviceAccountTokenCreator", "members": [ME]}]}
scope = ["https://www.googleapis.com/auth/cloud-platform"]
own = "projects/-/serviceAccounts/" + account.email
denied = refusal(credentials.generate_access_token, name=own, scope=scope)
whole = f"projects/demo/serviceAccounts/{account.email}"
accounts.set_iam_policy(request={"resource": whole, "policy": owner})
print(json.dumps({
    "data": secrets.access_secret_version(name=secret.name + "/versions/latest").payload.data.decode(),
    "taken": refusal(accounts.create_service_account, name="projects/demo", account_id="over-grpc")[0],
    "found": account.email in [a.email for a in accounts.list_service_accounts(name="projects/demo")],
    "denied": denied[0],
    "token": len(credentials.generate_access_token(name=own, scope=scope).access_token) > 20,
    "places": len(connectors.list_locations({"name": "projects/demo"}).locations) > 10,
    "connectors": all("/connectors/" in c.name for c in connectors.list_connectors(parent=PLACE)),
    "project": projects.get_project(name="projects/demo").project_id,
    "unbuilt": refusal(projects.undelete_project, name="projects/demo"),
    "stranger": refusal(secrets.get_secret, name="projects/somebody-elses/secrets/x"),
}))
secrets.delete_secret(name=secret.name)
accounts.delete_service_account(name=account.name)
""",
    )
    unbuilt, stranger = answer.pop("unbuilt"), answer.pop("stranger")
    assert isinstance(unbuilt, list)
    assert isinstance(stranger, list)
    assert stranger[0] == "NotFound"
    assert answer == {
        "data": "\0top",
        "taken": "AlreadyExists",
        "found": True,
        "denied": "PermissionDenied",
        "token": True,
        "places": True,
        "connectors": True,
        "project": "demo",
    }


def test_monitoring_over_grpc(region: RunningRegion) -> None:
    netcheck = "us-docker.pkg.dev/fogbank/samples/netcheck"
    place = "--region=asia-northeast3"
    region.gcloud("run", "deploy", "measured", f"--image={netcheck}", place, "--allow-unauthenticated")
    url = region.gcloud("run", "services", "describe", "measured", place, "--format=value(status.url)").stdout
    for _ in range(3):
        region.curl(f"{url.strip()}/no-such-page")
    region.fogbank("clock", "advance", "2m")
    answer = python(
        region,
        """
import time
from google.cloud import monitoring_v3
client = monitoring_v3.MetricServiceClient()
now = int(time.time())  # other tests of the region may have had days pass on its clock
interval = {"start_time": {"seconds": now - 7200}, "end_time": {"seconds": now + 30 * 86400}}
def series(metric, **more):
    end = time.time() + 30
    while not (found := list(client.list_time_series(request={"name": "projects/demo", "interval": interval,
            "filter": f'metric.type="{metric}" AND resource.type!="x"', **more}))) and time.time() < end:
        time.sleep(0.1)
    return found
(count,) = [each for each in series("run.googleapis.com/request_count")
            if each.resource.labels["service_name"] == "measured"]
(latency,) = [each for each in series("run.googleapis.com/request_latencies")
              if each.resource.labels["service_name"] == "measured"]
mine = monitoring_v3.TimeSeries(metric={"type": "custom.googleapis.com/grpc"}, resource={"type": "global"},
    points=[{"interval": {"end_time": {"seconds": int(time.time())}}, "value": {"double_value": 2.5}}])
client.create_time_series(name="projects/demo", time_series=[mine])
(own,) = series("custom.googleapis.com/grpc")
print(json.dumps({
    "count": sum(point.value.int64_value for point in count.points), "labels": dict(count.metric.labels),
    "kind": int(count.metric_kind),
    "latencies": sum(p.value.distribution_value.count for p in latency.points),
    "own": own.points[0].value.double_value,
    "metrics": len(list(client.list_metric_descriptors(name="projects/demo"))) > 10,
    "bad": refusal(series, "run", interval={}),
}))
""",
    )
    assert answer == {
        "count": 3,
        "labels": {"response_code": "404", "response_code_class": "4xx"},
        "kind": 2,
        "latencies": 3,
        "own": 2.5,
        "metrics": True,
        "bad": ["InvalidArgument", "Field interval.endTime had an invalid value: it must be set.", None],
    }


def test_traces_of_a_request_and_of_a_client_are_read_together(region: RunningRegion) -> None:
    netcheck = "us-docker.pkg.dev/fogbank/samples/netcheck"
    place = "--region=asia-northeast3"
    region.gcloud("run", "deploy", "traced", f"--image={netcheck}", place, "--allow-unauthenticated")
    url = region.gcloud("run", "services", "describe", "traced", place, "--format=value(status.url)").stdout
    trace, span = "ab" * 16, "00000000000000cd"
    region.curl("-H", f"traceparent: 00-{trace}-{span}-01", f"{url.strip()}/info")
    python(
        region,
        f"""
from google.cloud import trace_v2
from datetime import datetime, timedelta, timezone
now = datetime.now(timezone.utc)
name = "projects/demo/traces/{trace}/spans/{span}"
own = trace_v2.Span(name=name, span_id="{span}", display_name={{"value": "caller"}},
    start_time=now - timedelta(seconds=20), end_time=now)
trace_v2.TraceServiceClient().batch_write_spans(name="projects/demo", spans=[own])
print("{{}}")
""",
    )
    status, found = region.api("GET", f"https://cloudtrace.googleapis.com/v1/projects/demo/traces/{trace}")
    assert status == 200
    caller, served = found["spans"]
    assert (caller["name"], caller["spanId"]) == ("caller", str(0xCD))
    assert (served["name"], served["parentSpanId"], served["kind"]) == ("/info", str(0xCD), "RPC_SERVER")
    assert served["labels"]["/http/status_code"] == "200"


def test_gcloud_tails_logs_with_grpcio_in_its_python(region: RunningRegion, tmp_path: Path) -> None:
    # gcloud has no grpcio of its own: its documentation has people add it. Only that is added here.
    for module in ("grpc", "typing_extensions"):
        found = find_spec(module)
        assert found is not None
        assert found.origin is not None
        source = Path(found.origin)
        source = source.parent if source.name == "__init__.py" else source
        (tmp_path / source.name).symlink_to(source)
    gcloud = shutil.which("gcloud")
    assert gcloud is not None
    environment = dict(region.environment) | {
        "CLOUDSDK_PYTHON": sys.executable,
        "PYTHONPATH": str(tmp_path),
        "PYTHONUNBUFFERED": "1",
    }
    command = [gcloud, "alpha", "logging", "tail", 'log_id("to-tail")', "--format=value(text_payload)"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as tailing:
        heard = threading.Event()

        def write() -> None:
            entry = {"logName": "projects/demo/logs/to-tail", "resource": {"type": "global"}}
            while not heard.wait(0.2):
                body = {"entries": [{**entry, "textPayload": "tailed by gcloud"}]}
                region.api("POST", "https://logging.googleapis.com/v2/entries:write", body)

        writing = threading.Thread(target=write)
        writing.start()
        assert tailing.stdout is not None
        line = tailing.stdout.readline()
        heard.set()
        writing.join()
        tailing.terminate()
    assert line == "tailed by gcloud\n"
