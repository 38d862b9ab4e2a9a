"""Google's Python clients over their default transport, gRPC, unmodified, on a running region."""

import json
import sys

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
    "connectors": len(list(connectors.list_connectors(parent=PLACE))),
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
        "connectors": 0,
        "project": "demo",
    }
