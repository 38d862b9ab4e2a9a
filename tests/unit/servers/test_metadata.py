"""The metadata server, as code in a container reads it."""

import json
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from tests.identities import ROBOT, ask

from fogbank.servers.metadata import InstanceFacts, Metadata

INSTANCE = "169.254.16.2"
FACTS = InstanceFacts("00fab", "demo", "123456789012", "asia-northeast3", ROBOT)
FLAVOUR = {"metadata-flavor": "Google"}


@pytest.fixture
def server(region):
    region.add_account()
    return Metadata(region.identity, {IPv4Address(INSTANCE): FACTS}.get)


def _get(server, path, headers=FLAVOUR, client=INSTANCE, method="GET"):
    url = f"http://metadata.google.internal{path}"
    return server.answer(ask(method, url, headers=headers, client=client))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("project/project-id", "demo"),
        ("project/numeric-project-id", "123456789012"),
        ("instance/id", "00fab"),
        ("instance/region", "projects/123456789012/regions/asia-northeast3"),
        ("instance/zone", "projects/123456789012/zones/asia-northeast3-1"),
        ("instance/service-accounts/default/email", ROBOT),
        (f"instance/service-accounts/{ROBOT}/email", ROBOT),
        ("instance/service-accounts/default/aliases", "default\n"),
        ("", "instance/\nproject/\n"),
        ("project/", "numeric-project-id\nproject-id\n"),
        ("instance/service-accounts/", f"default/\n{ROBOT}/\n"),
        ("instance/service-accounts/default/", "aliases\nemail\nidentity\nscopes\ntoken\n"),
    ],
)
def test_values_and_listings_are_plain_text(server, path, value):
    answer = _get(server, f"/computeMetadata/v1/{path}")
    assert (answer.status, answer.body.decode()) == (200, value)
    assert answer.headers["Metadata-Flavor"] == "Google"


def test_libraries_find_the_server_at_its_root(server):
    answer = _get(server, "/")
    assert (answer.status, answer.body) == (200, b"computeMetadata/\n")
    assert answer.headers["Metadata-Flavor"] == "Google"
    assert _get(server, "/computeMetadata/").body == b"v1/\n"


def test_without_the_header_nothing_is_told(server):
    for headers in ({}, {"metadata-flavor": "Other"}, FLAVOUR | {"x-forwarded-for": "10.0.0.1"}):
        answer = _get(server, "/computeMetadata/v1/project/project-id", headers)
        assert answer.status == 403
        assert b"demo" not in answer.body


def test_a_caller_whom_nobody_knows_is_told_nothing(server):
    for client in ("169.254.16.3", "", "::1"):
        assert _get(server, "/computeMetadata/v1/project/project-id", client=client).status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/computeMetadata/v1/nothing",
        "/computeMetadata/v1/project/project-id/",
        "/computeMetadata/v1/project/project-id/more",
        "/computeMetadata/v1/instance/service-accounts/other@x.org/token",
        "/computeMetadata/v2/",
        "/<script>",
    ],
)
def test_paths_that_do_not_exist_are_not_found(server, path):
    answer = _get(server, path)
    assert answer.status == 404
    assert b"<script>" not in answer.body


def test_only_reading_is_allowed(server):
    assert _get(server, "/computeMetadata/v1/project/project-id", method="POST").status == 405


def test_a_folder_without_its_slash_leads_to_the_folder(server):
    answer = _get(server, "/computeMetadata/v1/instance")
    assert answer.status == 301
    assert answer.headers["Location"] == "http://metadata.google.internal/computeMetadata/v1/instance/"


def test_everything_can_be_read_at_once(server):
    answer = _get(server, "/computeMetadata/v1/?recursive=true")
    assert answer.type == "application/json"
    content = json.loads(answer.body)
    assert content["project"] == {"numericProjectId": "123456789012", "projectId": "demo"}
    assert content["instance"]["serviceAccounts"]["default"]["email"] == ROBOT
    assert content["instance"]["serviceAccounts"][ROBOT]["aliases"] == ["default"]


def test_everything_can_be_read_at_once_as_text(server):
    text = _get(server, "/computeMetadata/v1/project/?recursive=true&alt=text").body.decode()
    assert text == "numeric-project-id 123456789012\nproject-id demo\n"


def test_a_value_can_be_read_as_json(server):
    assert _get(server, "/computeMetadata/v1/instance/id?alt=json").body == b'"00fab"'


def test_the_token_is_the_service_accounts(region, server):
    answer = _get(server, "/computeMetadata/v1/instance/service-accounts/default/token")
    body = json.loads(answer.body)
    assert region.identity.authenticate(f"Bearer {body['access_token']}") == ROBOT
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 3599)


def test_the_id_token_is_for_the_audience_that_was_named(region, server):
    path = "/computeMetadata/v1/instance/service-accounts/default/identity"
    token = _get(server, f"{path}?audience=https://example.com&format=full").body.decode()
    claims = region.identity.verify_id_token(token)
    assert (claims["aud"], claims["email"]) == ("https://example.com", ROBOT)
    assert _get(server, path).status == 400


def test_a_deleted_account_has_no_tokens(region):
    server = Metadata(region.identity, lambda _: FACTS)
    assert _get(server, "/computeMetadata/v1/instance/service-accounts/default/token").status == 404


def test_the_address_of_a_folder_is_written_as_an_address(server):
    answer = _get(server, "/computeMetadata/v1/instance")
    assert answer.headers["Location"] == "http://metadata.google.internal/computeMetadata/v1/instance/"
    request = ask("GET", "http://metadata/", headers=FLAVOUR, client=INSTANCE)
    odd = server.answer(replace(request, path="/computeMetadata/v1//instance"))
    assert odd.headers["Location"].isascii()
