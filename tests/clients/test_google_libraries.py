"""Google's Python client libraries, unmodified, on a running region; and what a call without a token gets."""

import json
import sys

import pytest

from fogbank.testing import RunningRegion

COMPUTE = "https://compute.googleapis.com/compute/v1/projects/demo"
NETCHECK = "us-docker.pkg.dev/fogbank/samples/netcheck"

pytestmark = [pytest.mark.slow(3), pytest.mark.netns]

PRELUDE = """
import json, time
import google.auth, google.auth.transport.requests
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

credentials, project = google.auth.default(["https://www.googleapis.com/auth/cloud-platform"])
session = google.auth.transport.requests.AuthorizedSession(credentials)

def service(name, version):
    return build(name, version, credentials=credentials, cache_discovery=False)
"""


def python(region: RunningRegion, script: str) -> dict[str, object]:
    """Run a script as a client of the region; give the JSON that it prints."""
    done = region.run(sys.executable, "-c", PRELUDE + script)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_the_api_client_makes_lists_and_deletes_compute_resources(region: RunningRegion) -> None:
    answer = python(region, """
compute = service("compute", "v1")
place = {"project": project, "region": "asia-northeast3"}

def done(operation):
    ended = compute.regionOperations().wait(operation=operation["name"], **place).execute()
    return ended["status"], ended.get("error")

subnet = {"name": "lib-subnet", "network": "global/networks/default", "ipCidrRange": "10.77.0.0/24"}
made = done(compute.subnetworks().insert(body=subnet, **place).execute())
first = compute.subnetworks().aggregatedList(project=project, maxResults=10)
names, pages = [], 0
while first is not None:
    page = first.execute()
    pages += 1
    names += [s["name"] for scope in page["items"].values() for s in scope.get("subnetworks", ())]
    first = compute.subnetworks().aggregatedList_next(first, page)
chosen = compute.subnetworks().list(filter='name = "lib-subnet"', **place).execute()["items"]
try:
    compute.subnetworks().insert(body=subnet, **place).execute()
    again = None
except HttpError as error:
    again = error.status_code, error.error_details[0]["reason"]
try:
    compute.subnetworks().get(subnetwork="lib-none", **place).execute()
    none = None
except HttpError as error:
    none = error.status_code, error.reason
batch = compute.new_batch_http_request()
answers = {}
for name in ("lib-subnet", "lib-none"):
    request = compute.subnetworks().get(subnetwork=name, **place)
    batch.add(request, lambda key, body, error: answers.__setitem__(key, error.status_code if error else body["name"]), name)
batch.execute()
gone = done(compute.subnetworks().delete(subnetwork="lib-subnet", **place).execute())
print(json.dumps({"made": made, "names": names, "pages": pages, "again": again, "none": none, "gone": gone,
                  "chosen": [s["ipCidrRange"] for s in chosen], "batch": answers}))
""")  # fmt: skip  # noqa: E501
    assert (answer["made"], answer["gone"]) == (["DONE", None], ["DONE", None])
    assert isinstance(answer["names"], list)
    assert "lib-subnet" in answer["names"]
    assert answer["names"].count("default") > 30
    assert isinstance(answer["pages"], int)
    assert answer["pages"] > 3
    assert answer["chosen"] == ["10.77.0.0/24"]
    assert answer["again"] == [409, "alreadyExists"]
    assert answer["none"] == [
        404, "The resource 'projects/demo/regions/asia-northeast3/subnetworks/lib-none' was not found"
    ]  # fmt: skip
    assert answer["batch"] == {"lib-subnet": "lib-subnet", "lib-none": 404}


def test_the_api_client_deploys_with_run_v2_behind_a_connector(region: RunningRegion) -> None:
    answer = python(region, """
place = f"projects/{project}/locations/asia-northeast3"

def ended(api, operation):
    while not operation.get("done"):
        time.sleep(0.2)
        operation = api.projects().locations().operations().get(name=operation["name"]).execute()
    return operation

vpcaccess, run = service("vpcaccess", "v1"), service("run", "v2")
connectors, services = vpcaccess.projects().locations().connectors(), run.projects().locations().services()
connector = {"network": "default", "ipCidrRange": "10.78.0.0/28", "minInstances": 2, "maxInstances": 3}
built = ended(vpcaccess, connectors.create(parent=place, connectorId="lib", body=connector).execute())
template = {
    "containers": [{"image": "NETCHECK", "env": [{"name": "COLOUR", "value": "green"}]}],
    "vpcAccess": {"connector": f"{place}/connectors/lib", "egress": "PRIVATE_RANGES_ONLY"},
}
deployed = ended(run, services.create(parent=place, serviceId="lib", body={"template": template}).execute())
policy = {"policy": {"bindings": [{"role": "roles/run.invoker", "members": ["allUsers"]}]}}
services.setIamPolicy(resource=f"{place}/services/lib", body=policy).execute()
shown = services.get(name=f"{place}/services/lib").execute()
seen = session.get(shown["uri"] + "/info").json()
revisions = services.revisions().list(parent=f"{place}/services/lib").execute()["revisions"]
ended(run, services.delete(name=f"{place}/services/lib").execute())
left = [s["name"] for s in services.list(parent=place).execute().get("services", ())]
ended(vpcaccess, connectors.delete(name=f"{place}/connectors/lib").execute())
print(json.dumps({"built": built["response"], "deployed": deployed["response"], "shown": shown, "left": left,
                  "colour": seen["environment"]["COLOUR"], "revisions": len(revisions)}))
""".replace("NETCHECK", NETCHECK))  # fmt: skip
    built, deployed, shown = answer["built"], answer["deployed"], answer["shown"]
    assert isinstance(built, dict)
    assert isinstance(deployed, dict)
    assert isinstance(shown, dict)
    assert (built["state"], built["@type"]) == (
        "READY", "type.googleapis.com/google.cloud.vpcaccess.v1.Connector"
    )  # fmt: skip
    assert deployed["@type"] == "type.googleapis.com/google.cloud.run.v2.Service"
    assert shown["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"
    assert (answer["colour"], answer["revisions"]) == ("green", 1)
    assert isinstance(answer["left"], list)
    assert not [name for name in answer["left"] if name.endswith("/lib")]


def test_the_api_client_makes_a_service_account_that_can_be_impersonated(region: RunningRegion) -> None:
    answer = python(region, """
from google.auth import impersonated_credentials
import base64
iam = service("iam", "v1").projects().serviceAccounts()
account = iam.create(name=f"projects/{project}", body={"accountId": "lib-robot"}).execute()
key = iam.keys().create(name=account["name"], body={}).execute()
role = {"role": "roles/iam.serviceAccountTokenCreator", "members": [f"serviceAccount:{credentials.service_account_email}"]}
iam.setIamPolicy(resource=account["name"], body={"policy": {"bindings": [role]}}).execute()
robot = impersonated_credentials.Credentials(credentials, account["email"], ["https://www.googleapis.com/auth/cloud-platform"])
projects = service("cloudresourcemanager", "v1").projects()
policy = projects.getIamPolicy(resource=project, body={}).execute()
policy["bindings"].append({"role": "roles/compute.networkViewer", "members": [f"serviceAccount:{account['email']}"]})
projects.setIamPolicy(resource=project, body={"policy": policy}).execute()
networks = google.auth.transport.requests.AuthorizedSession(robot).get("COMPUTE/global/networks").json()
iam.delete(name=account["name"]).execute()
print(json.dumps({"email": account["email"], "networks": [n["name"] for n in networks["items"]],
                  "key": json.loads(base64.b64decode(key["privateKeyData"]))["client_email"]}))
""".replace("COMPUTE", COMPUTE))  # fmt: skip  # noqa: E501
    assert answer["email"] == answer["key"] == "lib-robot@demo.iam.gserviceaccount.com"
    assert isinstance(answer["networks"], list)
    assert "default" in answer["networks"]


@pytest.mark.parametrize(
    ("sent", "reason", "flaw"),
    [
        ({}, "required", ""),
        ({"Authorization": "Bearer ya29.a0AfH6SMfromelsewhere"}, "authError", ', error="invalid_token"'),
        ({"Authorization": "Basic bWU6c2VjcmV0"}, "authError", ', error="invalid_token"'),
    ],
    ids=["no token", "a foreign token", "no bearer"],
)
@pytest.mark.parametrize("host", ["compute", "asia-northeast3-run", "iamcredentials"])
def test_who_is_not_known_is_told_what_would_do(
    region: RunningRegion, host: str, sent: dict[str, str], reason: str, flaw: str
) -> None:
    paths = {
        "compute": "/compute/v1/projects/demo/global/networks",
        "asia-northeast3-run": "/apis/serving.knative.dev/v1/namespaces/demo/services",
        "iamcredentials": "/v1/projects/-/serviceAccounts/a@demo.iam.gserviceaccount.com/allowedLocations",
    }
    connection = region.connect(f"{host}.googleapis.com")
    connection.request("GET", paths[host], headers=sent)
    answer = connection.getresponse()
    error = json.loads(answer.read())["error"]
    connection.close()
    assert (answer.status, error["code"], error["status"]) == (401, 401, "UNAUTHENTICATED")
    assert answer.headers["WWW-Authenticate"] == f'Bearer realm="https://accounts.google.com/"{flaw}'
    assert error["message"].startswith(
        "Request is missing required" if reason == "required" else "Request had invalid authentication"
    )
    if host == "compute":
        assert error["errors"][0]["reason"] == reason


def test_a_user_of_the_region_is_let_in_where_a_role_says_so(region: RunningRegion) -> None:
    place, me = "--region=asia-northeast3", "someone@example.com"
    document = json.loads(region.fogbank("credentials", "--user", me))
    file = region.home / "someone.json"
    region.fogbank("credentials", "--user", me, "--output", str(file))
    assert json.loads(file.read_text())["account"] == document["account"] == me
    names = ("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE")
    user = type(region)(region.name, region.home, {**region.environment, **dict.fromkeys(names, str(file))})
    region.gcloud("run", "deploy", "lib-private", f"--image={NETCHECK}", place, "--no-allow-unauthenticated")
    url = region.gcloud(
        "run", "services", "describe", "lib-private", place, "--format=value(status.url)"
    ).stdout.strip()
    token = user.gcloud("auth", "print-identity-token").stdout.strip()
    ask = ("-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: Bearer {token}", f"{url}/info")
    assert region.curl(*ask) == "403"
    grant = ("lib-private", place, f"--member=user:{me}", "--role=roles/run.invoker")
    region.gcloud("run", "services", "add-iam-policy-binding", *grant)
    assert region.curl(*ask) == "200"
    viewer = ("demo", f"--member=user:{me}", "--role=roles/compute.networkViewer")
    region.gcloud("projects", "add-iam-policy-binding", *viewer)
    answer = python(user, """
networks = session.get("COMPUTE/global/networks").json()["items"]
print(json.dumps({"kind": type(credentials).__module__, "networks": [n["name"] for n in networks]}))
""".replace("COMPUTE", COMPUTE))  # fmt: skip
    assert answer["kind"] == "google.oauth2.credentials"
    assert isinstance(answer["networks"], list)
    assert "default" in answer["networks"]
    region.gcloud("run", "services", "delete", "lib-private", place)


@pytest.mark.parametrize("email", ["nobody", "robot@demo.iam.gserviceaccount.com"])
def test_credentials_are_for_users_alone(region: RunningRegion, email: str) -> None:
    with pytest.raises(AssertionError, match=r"no e-mail address|gcloud iam service-accounts keys create"):
        region.fogbank("credentials", "--user", email)
