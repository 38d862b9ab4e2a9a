"""Credentials as real clients use them: gcloud, curl and Google's Python library, on a running region."""

import json
import re
import stat
import sys
import time
from pathlib import Path

import jwt
import pytest

from fogbank.frontend.iam.accounts import GCLOUD_CLIENT
from fogbank.frontend.iam.tokens import Tokens

NETWORKS = "https://compute.googleapis.com/compute/v1/projects/demo/global/networks"
NETCHECK = "us-docker.pkg.dev/fogbank/samples/netcheck"
PLACE = "--region=asia-northeast3"
pytestmark = [pytest.mark.slow(4), pytest.mark.netns]


def _authority(region):
    return Path(region.environment["GOOGLE_APPLICATION_CREDENTIALS"]).parent


def _claims(region, token):
    """Verify an ID token with the keys that the region serves."""
    keys = json.loads(region.curl("https://www.googleapis.com/oauth2/v3/certs"))["keys"]
    kid = jwt.get_unverified_header(token)["kid"]
    key = jwt.PyJWK(next(each for each in keys if each["kid"] == kid))
    return jwt.decode(
        token, key, ["RS256"], options={"verify_aud": False}, issuer="https://accounts.google.com"
    )


def test_keys_are_the_owners_alone(region):
    folder = _authority(region)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_the_token_that_gcloud_prints_opens_the_api(region):
    token = region.gcloud("auth", "print-access-token").stdout.strip()
    listed = json.loads(region.curl("-H", f"Authorization: Bearer {token}", NETWORKS))
    assert "default" in [network["name"] for network in listed["items"]]


def test_a_call_without_a_token_gets_googles_401(region):
    answer = json.loads(region.curl(NETWORKS))
    assert answer["error"]["code"] == 401
    answer = json.loads(region.curl("-H", "Authorization: Bearer ya29.foreign", NETWORKS))
    assert answer["error"]["errors"][0]["reason"] == "authError"


def test_the_identity_token_that_gcloud_prints_verifies(region):
    claims = _claims(region, region.gcloud("auth", "print-identity-token").stdout.strip())
    assert claims["aud"] == GCLOUD_CLIENT
    assert claims["email"] == "fogbank@demo.iam.gserviceaccount.com"
    audience = region.gcloud("auth", "print-identity-token", "--audiences=https://a.example").stdout.strip()
    assert _claims(region, audience)["aud"] == "https://a.example"


def test_a_user_logs_in_with_a_refresh_token(region, tmp_path):
    secret = (_authority(region) / "token.secret").read_bytes()
    refresh = Tokens(secret, tmp_path / "revoked", time.time).issue_refresh("me@example.com")
    environment = {**region.environment, "CLOUDSDK_CONFIG": str(tmp_path / "gcloud")}
    del environment["CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE"]
    user = type(region)(region.name, region.home, environment)
    user.gcloud("auth", "activate-refresh-token", "me@example.com", refresh)
    assert (
        _claims(region, user.gcloud("auth", "print-identity-token").stdout.strip())["email"]
        == "me@example.com"
    )
    refused = user.gcloud("compute", "networks", "list", check=False)
    assert "Required 'compute.networks.list' permission for 'projects/demo/global/networks'" in refused.stderr
    grant = ("demo", "--member=user:me@example.com", "--role=roles/compute.networkViewer")
    region.gcloud("projects", "add-iam-policy-binding", *grant)
    assert user.gcloud_json("compute", "networks", "list")[0]["name"] == "default"
    region.gcloud("projects", "remove-iam-policy-binding", *grant)
    assert user.gcloud("compute", "networks", "list", check=False).returncode == 1


def test_googles_python_library_gets_and_verifies_tokens(region):
    script = """
import google.auth, google.auth.transport.requests, google.oauth2.id_token
wire = google.auth.transport.requests.Request()
credentials, project = google.auth.default(["https://www.googleapis.com/auth/cloud-platform"])
session = google.auth.transport.requests.AuthorizedSession(credentials)
assert session.get("NETWORKS").json()["items"], project
token = google.oauth2.id_token.fetch_id_token(wire, "https://a.example")
print(google.oauth2.id_token.verify_oauth2_token(token, wire, "https://a.example")["email"])
""".replace("NETWORKS", NETWORKS)
    printed = region.run(sys.executable, "-W", "error", "-c", script).stdout.strip()
    assert printed == "fogbank@demo.iam.gserviceaccount.com"


def test_a_private_service_asks_for_an_identity(region):
    region.gcloud("run", "deploy", "private", f"--image={NETCHECK}", PLACE, "--no-allow-unauthenticated")
    shown = ("run", "services", "describe", "private", PLACE, "--format=value(status.url)")
    url = region.gcloud(*shown).stdout.strip()
    status = ("-o", "/dev/null", "-w", "%{http_code}")
    token = region.gcloud("auth", "print-identity-token").stdout.strip()
    assert region.curl(*status, url) == "403"
    assert region.curl(*status, "-H", "Authorization: Bearer x", url) == "401"
    assert json.loads(region.curl("-H", f"Authorization: Bearer {token}", f"{url}/info"))["environment"]
    grant = ("--member=allUsers", "--role=roles/run.invoker", PLACE)
    region.gcloud("run", "services", "add-iam-policy-binding", "private", *grant)
    assert region.curl(*status, f"{url}/info") == "200"
    region.gcloud("run", "services", "remove-iam-policy-binding", "private", *grant)
    assert region.curl(*status, f"{url}/info") == "403"
    region.gcloud("run", "services", "delete", "private", PLACE)
    assert region.curl(*status, "-H", f"Authorization: Bearer {token}", url) == "404"


def test_a_developer_deploys_once_he_may_act_as_the_runtime_account_and_opens_nothing(region, tmp_path):
    # The first two commands of article 001 bind these roles.
    me, file = "dev@example.com", tmp_path / "dev.json"
    file.write_text(region.fogbank("credentials", "--user", me))
    environment = {**region.environment, "CLOUDSDK_CONFIG": str(tmp_path / "gcloud")}
    environment["CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE"] = str(file)
    user = type(region)(region.name, region.home, environment)
    deploy = ("run", "deploy", "theirs", f"--image={NETCHECK}", PLACE)
    bind = ("projects", "add-iam-policy-binding", "demo", f"--member=user:{me}")

    refused = user.gcloud(*deploy, "--no-allow-unauthenticated", check=False)
    assert refused.returncode == 1
    assert "Permission 'run.services." in refused.stderr
    region.gcloud(*bind, "--role=roles/run.developer")
    refused = user.gcloud(*deploy, "--no-allow-unauthenticated", check=False)
    assert refused.returncode == 1
    assert re.search(
        r"Permission 'iam\.serviceaccounts\.actAs' denied on service account "
        r"\d+-compute@developer\.gserviceaccount\.com \(or it may not exist\)\.",
        refused.stderr,
    )
    region.gcloud(*bind, "--role=roles/iam.serviceAccountUser")
    deployed = user.gcloud(*deploy, "--allow-unauthenticated")
    assert "Setting IAM policy failed" in deployed.stderr
    url = user.gcloud("run", "services", "describe", "theirs", PLACE, "--format=value(status.url)")
    assert region.curl("-o", "/dev/null", "-w", "%{http_code}", url.stdout.strip()) == "403"
    region.gcloud("run", "services", "delete", "theirs", PLACE)


def test_another_projects_account_has_nothing_here(region):
    region.gcloud("projects", "create", "another-project")
    robot = "another-robot@another-project.iam.gserviceaccount.com"
    region.gcloud("iam", "service-accounts", "create", "another-robot", "--project=another-project")
    region.gcloud(
        "projects",
        "add-iam-policy-binding",
        "another-project",
        f"--member=serviceAccount:{robot}",
        "--role=roles/owner",
    )
    region.gcloud(
        "iam",
        "service-accounts",
        "add-iam-policy-binding",
        robot,
        "--project=another-project",
        "--member=serviceAccount:fogbank@demo.iam.gserviceaccount.com",
        "--role=roles/iam.serviceAccountTokenCreator",
    )
    as_robot = f"--impersonate-service-account={robot}"
    owner = ("demo", f"--member=serviceAccount:{robot}", "--role=roles/owner")
    refused = region.gcloud("projects", "add-iam-policy-binding", *owner, as_robot, check=False)
    assert refused.returncode == 1
    assert "does not have permission" in refused.stderr
    refused = region.gcloud("compute", "networks", "list", as_robot, check=False)
    assert "Required 'compute.networks.list' permission" in refused.stderr
    listed = region.gcloud_json("compute", "networks", "list", "--project=another-project", as_robot)
    assert [each["name"] for each in listed] == ["default"]
