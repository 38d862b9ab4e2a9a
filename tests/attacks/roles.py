"""Callers with a good token and no role: what they try to read, change, become or borrow."""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

from tests.attacks.table import Tally, attack
from tests.attacks.target import PATIENCE, SERVICES, Target

from fogbank.frontend.iam import jwt

IAM, PROJECTS = "https://iam.googleapis.com/v1", "https://cloudresourcemanager.googleapis.com/v1/projects"
CREDENTIALS = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts"
RUN, COMPUTE = "https://run.googleapis.com/v2", "https://compute.googleapis.com/compute/v1/projects"
ELSEWHERE = "stranger-project"
ROBOT = f"stranger@{ELSEWHERE}.iam.gserviceaccount.com"
OPERATOR = "fogbank@demo.iam.gserviceaccount.com"
PLACE = "locations/asia-northeast3"

Call = tuple[str, str, Any]


def as_token(target: Target, token: str, call: Call) -> tuple[int, bytes]:
    method, url, body = call
    host, _, path = url.removeprefix("https://").partition("/")
    connection = target.region.connect(host)
    try:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request(method, f"/{path}", json.dumps(body) if body is not None else None, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def owner_elsewhere(target: Target) -> str:
    """Make another project with an account that owns it; gives the account's token."""
    api = target.region.api
    api("POST", PROJECTS, {"projectId": ELSEWHERE})
    api("POST", f"{IAM}/projects/{ELSEWHERE}/serviceAccounts", {"accountId": "stranger"})
    api("POST", f"{IAM}/projects/{ELSEWHERE}/serviceAccounts/{ROBOT}:enable", {})
    owners = [f"serviceAccount:{ROBOT}", f"serviceAccount:{OPERATOR}"]
    policy = {"policy": {"bindings": [{"role": "roles/owner", "members": owners}]}}
    assert api("POST", f"{PROJECTS}/{ELSEWHERE}:setIamPolicy", policy)[0] == 200
    maker = {"role": "roles/iam.serviceAccountTokenCreator", "members": [f"serviceAccount:{OPERATOR}"]}
    own = f"{IAM}/projects/{ELSEWHERE}/serviceAccounts/{ROBOT}:setIamPolicy"
    assert api("POST", own, {"policy": {"bindings": [maker]}})[0] == 200
    asked = {"scope": ["https://www.googleapis.com/auth/cloud-platform"]}
    status, answer = api("POST", f"{CREDENTIALS}/{ROBOT}:generateAccessToken", asked)
    assert status == 200, answer
    token = str(answer["accessToken"])
    assert as_token(target, token, ("GET", f"{PROJECTS}/{ELSEWHERE}", None))[0] == 200
    return token


def number(target: Target) -> str:
    return str(target.region.api("GET", f"{PROJECTS}/demo")[1]["projectNumber"])


def escalations(target: Target) -> Iterator[tuple[str, Call]]:
    """Ways to give oneself a role in the project ``demo``."""
    owner = {"policy": {"bindings": [{"role": "roles/owner", "members": [f"serviceAccount:{ROBOT}"]}]}}
    yield "the project's policy", ("POST", f"{PROJECTS}/demo:setIamPolicy", owner)
    yield "by number", ("POST", f"{PROJECTS}/{number(target)}:setIamPolicy", owner)
    yield "in v3", ("POST", f"{PROJECTS.replace('v1', 'v3')}/demo:setIamPolicy", owner)
    yield "a service's policy", ("POST", f"{SERVICES}/closed:setIamPolicy", owner)
    account = f"{number(target)}-compute@developer.gserviceaccount.com"
    for project in ("demo", "-", ELSEWHERE):
        path = f"projects/{project}/serviceAccounts/{account}"
        yield f"an account's policy by {project}", ("POST", f"{IAM}/{path}:setIamPolicy", owner)
        yield f"an account's key by {project}", ("POST", f"{IAM}/{path}/keys", {})
    agent = {"accountId": f"service-{number(target)}"}
    yield "the agent's project", ("POST", PROJECTS, {"projectId": "serverless-robot-prod"})
    yield "the agent", ("POST", f"{IAM}/projects/serverless-robot-prod/serviceAccounts", agent)
    role = {"roleId": "everything", "role": {"includedPermissions": ["run.services.create"]}}
    yield "a role", ("POST", f"{IAM}/projects/demo/roles", role)
    sent = {"scope": ["a"], "audience": "a", "payload": "e30="}
    for who in (account, OPERATOR):
        for verb in ("generateAccessToken", "generateIdToken", "signJwt", "signBlob"):
            yield f"{verb} of {who}", ("POST", f"{CREDENTIALS}/{who}:{verb}", sent)


def detours(target: Target) -> Iterator[tuple[str, Call]]:
    """Ways to say one project in the path and mean another."""
    for slash in ("%2F", "%2f", "%252F"):
        inner = f"l{slash}projects{slash}demo{slash}locations{slash}asia-northeast3"
        yield (
            "an escaped project",
            ("GET", f"{RUN}/projects/{ELSEWHERE}/locations/{inner}/services/closed", None),
        )
        account = f"x{slash}projects{slash}demo{slash}serviceAccounts{slash}{OPERATOR}"
        yield "an escaped account", ("GET", f"{IAM}/projects/{ELSEWHERE}/serviceAccounts/{account}", None)
    yield (
        "a parent beside",
        ("GET", f"{RUN}/projects/{ELSEWHERE}/{PLACE}/services?parent=projects/demo/{PLACE}", None),
    )
    yield "dots", ("GET", f"{RUN}/projects/{ELSEWHERE}/../demo/{PLACE}/services", None)
    yield "every project", ("GET", f"{RUN}/projects/-/{PLACE}/services", None)
    yield "another method", ("POST", f"{COMPUTE}/demo/global/networks/default?access_token=", {})


def borrowings(target: Target) -> Iterator[tuple[str, Call]]:
    """Ways to have the region use for the stranger what is not his."""
    link = "projects/demo/regions/asia-northeast3/subnetworks/default"
    account = f"{number(target)}-compute@developer.gserviceaccount.com"
    mine, containers = (
        f"{RUN}/projects/{ELSEWHERE}/{PLACE}",
        [{"image": "us-docker.pkg.dev/fogbank/samples/netcheck"}],
    )
    body: Any = {"template": {"containers": containers, "serviceAccount": account}}
    yield "an account", ("POST", f"{mine}/services?serviceId=thief", body)
    connector = {"connector": f"projects/demo/{PLACE}/connectors/c"}
    body = {"template": {"containers": containers, "vpcAccess": connector}}
    yield "a connector", ("POST", f"{mine}/services?serviceId=thief", body)
    connectors = (
        f"https://vpcaccess.googleapis.com/v1/projects/{ELSEWHERE}/{PLACE}/connectors?connectorId=thief"
    )
    size = {"minInstances": 2, "maxInstances": 3}
    subnet = {"subnet": {"name": "default", "projectId": "demo"}}
    yield "a subnetwork", ("POST", connectors, subnet | size)
    network = {"network": "projects/demo/global/networks/default", "ipCidrRange": "10.9.0.0/28"}
    yield "a network", ("POST", connectors, network | size)
    folder = f"{COMPUTE}/{ELSEWHERE}/regions/asia-northeast3"
    yield "an address in it", ("POST", f"{folder}/addresses", {
        "name": "thief", "addressType": "INTERNAL", "subnetwork": link})  # fmt: skip
    yield "a subnetwork of it", ("POST", f"{folder}/subnetworks", {
        "name": "thief", "network": network["network"], "ipCidrRange": "10.9.0.0/24"})  # fmt: skip


@attack("API")
def an_owner_of_another_project(target: Target, tally: Tally, _door: str) -> None:
    token = owner_elsewhere(target)
    before = target.region.api("POST", f"{PROJECTS}/demo:getIamPolicy", {})
    for ways in (escalations, detours, borrowings):
        for what, call in ways(target):
            status, answer = as_token(target, token, call)
            held = status in {400, 401, 403, 404} and b"netcheck" not in answer
            tally.expect(held, f"{what}: {status} {answer[:200]!r}")
    tally.expect(
        target.region.api("POST", f"{PROJECTS}/demo:getIamPolicy", {}) == before, "the policy changed"
    )
    listed = json.loads(as_token(target, token, ("GET", PROJECTS, None))[1])
    tally.expect({each["projectId"] for each in listed["projects"]} == {ELSEWHERE}, f"listed: {listed}")


@attack("API")
def what_exists_and_what_does_not(target: Target, tally: Tally, _door: str) -> None:
    """Compare the refusals about what is there with those about what is not."""
    token = owner_elsewhere(target)
    for there, missing in (
        (f"{PROJECTS}/demo", f"{PROJECTS}/nobody-has-this"),
        (f"{SERVICES}/closed", f"{SERVICES}/nobody-has-this"),
        (f"{COMPUTE}/demo/global/networks/default", f"{COMPUTE}/nobody-has-this/global/networks/default"),
        (
            f"{IAM}/projects/-/serviceAccounts/{OPERATOR}",
            f"{IAM}/projects/-/serviceAccounts/nobody@demo.example",
        ),
    ):
        one, other = (as_token(target, token, ("GET", url, None)) for url in (there, missing))
        names = [quote(url.rpartition("/")[2], safe="@").encode() for url in (there, missing)]
        same = (
            one[1].replace(names[0], b"X").replace(b"/demo/", b"/P/"),
            other[1].replace(names[1], b"X").replace(b"/nobody-has-this/", b"/P/").replace(b"/demo/", b"/P/"),
        )
        tally.expect(one[0] == other[0] == 403 and same[0] == same[1], f"{there}: {same}")


@attack("API")
def a_token_of_an_account_that_was_disabled(target: Target, tally: Tally, _door: str) -> None:
    token = owner_elsewhere(target)
    account = f"{IAM}/projects/{ELSEWHERE}/serviceAccounts/{ROBOT}"
    target.region.api("POST", f"{account}:disable", {})
    for _ in range(20):
        status, answer = as_token(target, token, ("GET", f"{PROJECTS}/{ELSEWHERE}", None))
        tally.expect(status == 401, f"{status} {answer[:200]!r}")
    target.region.api("POST", f"{account}:enable", {})


@attack("API")
def a_user_who_makes_the_projects_of_service_agents(target: Target, tally: Tally, _door: str) -> None:
    """Users may create projects, and the addresses of accounts have their project's id."""
    token = user_token(target, "climber@example.com")
    for project in ("serverless-robot-prod", "gcp-sa-vpcaccess", "compute-system"):
        status, answer = as_token(target, token, ("POST", PROJECTS, {"projectId": project}))
        tally.expect(status == 409, f"{project}: {status} {answer[:200]!r}")


@attack("API")
def an_account_that_is_made_anew(target: Target, tally: Tally, _door: str) -> None:
    """Delete an account that owns a project, and make one of the same address."""
    owner_elsewhere(target)
    api, account = target.region.api, f"{IAM}/projects/{ELSEWHERE}/serviceAccounts"
    api("DELETE", f"{account}/{ROBOT}")
    api("POST", account, {"accountId": "stranger"})
    status, key = api("POST", f"{account}/{ROBOT}/keys", {})
    assert status == 200, key
    token = signed_by(json.loads(base64.b64decode(key["privateKeyData"])))
    status, answer = as_token(target, token, ("GET", f"{PROJECTS}/{ELSEWHERE}", None))
    tally.expect(status == 403, f"{status} {answer[:200]!r}")


@attack("API")
def a_developer_who_opens_a_service(target: Target, tally: Tally, _door: str) -> None:
    """Turn the check of invokers off without the permission to set the service's policy."""
    token, member = user_token(target, "developer@example.com"), "user:developer@example.com"
    bind(target, member, "roles/run.developer", "roles/iam.serviceAccountUser")
    change: Any = {"invokerIamDisabled": True}
    new: Any = {"template": {"containers": [{"image": "us-docker.pkg.dev/fogbank/samples/netcheck"}]}}
    for call in (
        ("PATCH", f"{SERVICES}/closed?updateMask=invokerIamDisabled", change),
        ("POST", f"{SERVICES}?serviceId=opened", new | change),
    ):
        status, answer = as_token(target, token, call)
        tally.expect(status == 403, f"{call[0]}: {status} {answer[:200]!r}")


@attack("API")
def an_editor_who_makes_the_regions_own_account(target: Target, tally: Tally, _door: str) -> None:
    """Create the region's account as a resource, make a key for it, or delete it with its roles."""
    token, member = user_token(target, "editor@example.com"), "user:editor@example.com"
    bind(target, member, "roles/editor", "roles/iam.serviceAccountAdmin", "roles/iam.serviceAccountKeyAdmin")
    accounts = f"{IAM}/projects/demo/serviceAccounts"
    for call in (
        ("POST", accounts, {"accountId": "fogbank"}),
        ("POST", f"{accounts}/{OPERATOR}/keys", {}),
        ("POST", f"{accounts}/{OPERATOR}:disable", {}),
        ("DELETE", f"{accounts}/{OPERATOR}", None),
    ):
        status, answer = as_token(target, token, call)
        tally.expect(status in {403, 404, 409}, f"{call[:2]}: {status} {answer[:200]!r}")


@attack("API")
def questions_that_take_long(target: Target, tally: Tally, _door: str) -> None:
    """Ask questions whose cost grows faster than their length, also in batches."""
    token, member = user_token(target, "viewer@example.com"), "user:viewer@example.com"
    bind(target, member, "roles/run.viewer")
    many = {"permissions": [f"a.b.c{n}" for n in range(300_000)]}
    status, answer = as_token(target, token, ("POST", f"{PROJECTS}/demo:testIamPermissions", many))
    tally.expect(status == 400, f"permissions: {status} {answer[:200]!r}")
    lists = "asia-northeast3-run.googleapis.com/apis/serving.knative.dev/v1/namespaces/demo/services"
    for count, wanted in ((60_000, 200), (300_000, 400)):
        line = f"GET https://{lists}?labelSelector={',' * count} HTTP/1.1"
        body = f"--x\r\nContent-Type: application/http\r\n\r\n{line}\r\n\r\n\r\n--x--\r\n"
        began = time.monotonic()
        status, answer = batch(target, token, body)
        held = status == wanted and time.monotonic() - began < PATIENCE
        tally.expect(held, f"{count} commas: {status} {time.monotonic() - began:.1f} s {answer[:100]!r}")


def batch(target: Target, token: str, body: str) -> tuple[int, bytes]:
    connection = target.region.connect("run.googleapis.com")
    try:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "multipart/mixed; boundary=x"}
        connection.request("POST", "/batch", body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def bind(target: Target, member: str, *roles: str) -> None:
    """Give ``member`` roles in the project ``demo``."""
    policy = target.region.api("POST", f"{PROJECTS}/demo:getIamPolicy", {})[1]
    policy["bindings"] += [{"role": role, "members": [member]} for role in roles]
    assert target.region.api("POST", f"{PROJECTS}/demo:setIamPolicy", {"policy": policy})[0] == 200


def user_token(target: Target, email: str) -> str:
    document = json.loads(target.region.fogbank("credentials", "--user", email))
    form = {"grant_type": "refresh_token", "refresh_token": document["refresh_token"]}
    connection = target.region.connect("oauth2.googleapis.com")
    try:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/token", urlencode(form), headers)
        return str(json.loads(connection.getresponse().read())["access_token"])
    finally:
        connection.close()


def signed_by(key: dict[str, str]) -> str:
    """Make a token from an account's key file, as client libraries do."""
    email, now = key["client_email"], int(time.time())
    claims = {"iss": email, "sub": email, "aud": "https://cloudresourcemanager.googleapis.com/"}
    times = {"iat": now, "exp": now + 3600}
    return jwt.sign_with_pem(key["private_key"].encode(), key["private_key_id"], claims | times)
