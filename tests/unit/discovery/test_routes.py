"""Every method of every document is found by a request made from its own template."""

import pytest

from fogbank.discovery.routes import find, methods, parse_host, split_template
from fogbank.discovery.tables import documents


def example(path):
    segments, custom, _ = split_template(path)
    filled = {"*": "x{}", "**": "x{}/y"}
    text = "/".join(filled.get(s, s).format(i) for i, s in enumerate(segments))
    return text + (f":{custom}" if custom else "")


@pytest.mark.parametrize("document", documents())
def test_each_method_of_a_document_is_found_by_its_own_path(document):
    for method in methods(document).values():
        found = find(documents()[document].host, method.verb, "/" + example(method.path))
        assert found is not None, method.id
        assert found.method.id == method.id


@pytest.mark.parametrize(
    ("host", "verb", "path", "method", "parameters", "region"),
    [
        (
            "compute.googleapis.com", "POST", "/compute/v1/projects/p/regions/r/subnetworks",
            "compute.v1.subnetworks.insert", {"project": "p", "region": "r"}, None,
        ),
        (
            "www.googleapis.com", "GET", "/compute/v1/projects/p/global/networks/n",
            "compute.v1.networks.get", {"project": "p", "network": "n"}, None,
        ),
        (
            "asia-northeast3-run.googleapis.com", "GET",
            "/apis/serving.knative.dev/v1/namespaces/p/services/s",
            "run.v1.namespaces.services.get", {"name": "namespaces/p/services/s"}, "asia-northeast3",
        ),
        (
            "run.googleapis.com", "GET", "/v1/projects/p/locations/-/services",
            "run.v1.projects.locations.services.list", {"parent": "projects/p/locations/-"}, None,
        ),
        (
            "run.googleapis.com", "GET", "/v1/projects/p/locations/l/services/s:getIamPolicy",
            "run.v1.projects.locations.services.getIamPolicy",
            {"resource": "projects/p/locations/l/services/s"}, None,
        ),
        (
            "vpcaccess.us-east1.rep.googleapis.com", "DELETE", "/v1/projects/p/locations/l/connectors/c",
            "vpcaccess.v1.projects.locations.connectors.delete",
            {"name": "projects/p/locations/l/connectors/c"}, "us-east1",
        ),
        (
            "cloudresourcemanager.googleapis.com", "GET", "/v1/projects/example.com:p",
            "cloudresourcemanager.v1.projects.get", {"projectId": "example.com:p"}, None,
        ),
        (
            "iam.googleapis.com", "GET", "/v1/projects/-/serviceAccounts/a%40b.c",
            "iam.v1.projects.serviceAccounts.get", {"name": "projects/-/serviceAccounts/a@b.c"}, None,
        ),
    ],
)  # fmt: skip
def test_a_request_finds_its_method_and_parameters(host, verb, path, method, parameters, region):  # noqa: PLR0917
    found = find(host, verb, path)
    assert found is not None
    assert (found.method.id, found.parameters, found.region) == (method, parameters, region)


def test_beta_is_answered_as_v1_with_an_unchecked_body():
    found = find("compute.googleapis.com", "POST", "/compute/beta/projects/p/global/networks")
    assert found is not None
    assert (found.method.id, found.method.checked, found.alias) == (
        "compute.v1.networks.insert",
        False,
        "beta",
    )


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("compute.googleapis.com", "/compute/v1/projects/p/no/such"),
        ("unknown.googleapis.com", "/v1/projects/p"),
        ("run.googleapis.com", "/"),
    ],
)
def test_an_unknown_path_or_host_finds_nothing(host, path):
    assert find(host, "GET", path) is None


def test_a_regional_host_is_its_api_and_its_region():
    assert parse_host("europe-west12-run.googleapis.com") == ("run.googleapis.com", "europe-west12")
    assert parse_host("run.googleapis.com") == ("run.googleapis.com", None)


@pytest.mark.parametrize("slash", ["%2F", "%2f"])
def test_an_escaped_slash_makes_no_further_segments_of_a_name(slash):
    inner = f"x{slash}projects{slash}theirs"
    found = find(
        "secretmanager.googleapis.com", "GET", f"/v1/projects/mine/secrets/{inner}/versions/1:access"
    )
    assert found is not None
    assert found.parameters == {"name": f"projects/mine/secrets/{inner}/versions/1"}
    spaced = find("secretmanager.googleapis.com", "GET", f"/v1/projects/mine/secrets/a%20b{slash}c")
    assert spaced is not None
    assert spaced.parameters == {"name": f"projects/mine/secrets/a b{slash}c"}


def test_an_escaped_slash_is_a_slash_in_a_parameter_of_one_segment():
    found = find("compute.googleapis.com", "GET", "/compute/v1/projects/p/global/networks/a%2Fb")
    assert found is not None
    assert found.parameters["network"] == "a/b"
