"""Which method over HTTP an RPC calls, with what query and body."""

import re

import pytest

from fogbank.discovery.protos import find_rpc, packages, rpcs
from fogbank.discovery.routes import find, versions_of
from fogbank.errors import ApiError
from fogbank.frontend.grpc.transcoding import MIXINS, transcode

PLACE = "projects/p/locations/asia-northeast3"


def called(path, host, request):
    rpc = find_rpc(path)
    assert rpc is not None
    found = transcode(rpc, host, request)
    assert found is not None
    return found.match.method.id, dict(found.match.parameters), dict(found.query), found.body


DATABASE = "projects/p/instances/i/databases/d"


@pytest.mark.parametrize(
    ("path", "host", "asked", "method"),
    [
        ("google.cloud.run.v2.Services/CreateService", "run.googleapis.com",
         {"parent": PLACE, "service": {"template": {}}, "serviceId": "s", "validateOnly": True},
         ("run.v2.projects.locations.services.create", {"parent": PLACE},
          {"serviceId": "s", "validateOnly": True}, {"template": {}})),
        ("google.cloud.run.v2.Services/UpdateService", "run.googleapis.com",
         {"service": {"name": f"{PLACE}/services/s", "labels": {"a": "b"}}, "updateMask": "labels"},
         ("run.v2.projects.locations.services.patch", {"name": f"{PLACE}/services/s"},
          {"updateMask": "labels"}, {"name": f"{PLACE}/services/s", "labels": {"a": "b"}})),
        ("google.logging.v2.LoggingServiceV2/ListLogs", "logging.googleapis.com",
         {"parent": "projects/p", "pageSize": 3, "resourceNames": ["a", "b"]},
         ("logging.v2.projects.logs.list", {"parent": "projects/p"},
          {"pageSize": 3, "resourceNames": ["a", "b"]}, None)),
        ("google.logging.v2.LoggingServiceV2/DeleteLog", "logging.googleapis.com",
         {"logName": "projects/p/logs/run%2Fx"},
         ("logging.v2.projects.logs.delete", {"logName": "projects/p/logs/run%2Fx"}, {}, None)),
        ("google.logging.v2.LoggingServiceV2/WriteLogEntries", "logging.googleapis.com",
         {"entries": [{"textPayload": "x"}]},
         ("logging.v2.entries.write", {}, {}, {"entries": [{"textPayload": "x"}]})),
        ("google.monitoring.v3.MetricService/ListTimeSeries", "monitoring.googleapis.com",
         {"name": "projects/p", "interval": {"endTime": "2026-01-01T00:00:00Z"},
          "aggregation": {"groupByFields": ["a", "b"]}},
         ("monitoring.v3.projects.timeSeries.list", {"name": "projects/p"},
          {"interval.endTime": "2026-01-01T00:00:00Z", "aggregation.groupByFields": ["a", "b"]}, None)),
        ("google.longrunning.Operations/GetOperation", "run.googleapis.com",
         {"name": f"{PLACE}/operations/o"},
         ("run.v2.projects.locations.operations.get", {"name": f"{PLACE}/operations/o"}, {}, None)),
        ("opentelemetry.proto.collector.trace.v1.TraceService/Export", "telemetry.googleapis.com",
         {"resourceSpans": []}, ("telemetry.v1.traces.post", {}, {}, {"resourceSpans": []})),
        ("google.spanner.v1.Spanner/Commit", "spanner.googleapis.com",
         {"session": f"{DATABASE}/sessions/s", "mutations": []},
         ("spanner.v1.projects.instances.databases.sessions.commit", {"session": f"{DATABASE}/sessions/s"},
          {}, {"mutations": []})),
        ("google.cloud.location.Locations/ListLocations", "vpcaccess.googleapis.com",
         {"name": "projects/p"},
         ("vpcaccess.v1.projects.locations.list", {"name": "projects/p"}, {}, None)),
    ],
)  # fmt: skip
def test_an_rpc_is_a_method(path, host, asked, method):
    assert called(path, host, asked) == method


@pytest.mark.parametrize("name", ["", "here", "projects/p/locations", 7, None])
def test_a_name_that_fits_no_path_is_refused(name):
    rpc = find_rpc("google.cloud.run.v2.Services/GetService")
    assert rpc is not None
    with pytest.raises(ApiError, match="in the field 'name'"):
        transcode(rpc, "run.googleapis.com", {"name": name})


def test_a_method_that_the_host_does_not_have_is_none():
    rpc = find_rpc("google.cloud.run.v2.Services/GetService")
    assert rpc is not None
    assert transcode(rpc, "compute.googleapis.com", {"name": f"{PLACE}/services/s"}) is None


def test_a_colon_or_a_query_in_a_name_stays_in_it():
    rpc = find_rpc("google.cloud.run.v2.Services/GetService")
    assert rpc is not None
    name = f"{PLACE}/services/s:getIamPolicy?x=y"
    found = transcode(rpc, "run.googleapis.com", {"name": name})
    assert found is not None
    assert (found.match.method.name, found.match.parameters["name"]) == (
        "projects.locations.services.get",
        name,
    )


def test_shared_methods_are_looked_for_in_the_newest_version_first():
    assert versions_of("run.googleapis.com") == ("v2", "v1")
    assert versions_of("asia-northeast3-run.googleapis.com") == ("v2", "v1")
    assert versions_of("vpcaccess.googleapis.com") == ("v1", "v1beta1")


def test_every_shared_method_is_in_the_tables():
    assert all(find_rpc(path) is not None for path in MIXINS)


HOSTS = {
    "google.api.serviceusage.v1": "serviceusage",
    "google.cloud.redis.v1": "redis",
    "google.cloud.resourcemanager.v3": "cloudresourcemanager",
    "google.cloud.run.v2": "run",
    "google.cloud.scheduler.v1": "cloudscheduler",
    "google.cloud.secretmanager.v1": "secretmanager",
    "google.cloud.vpcaccess.v1": "vpcaccess",
    "google.devtools.artifactregistry.v1": "artifactregistry",
    "google.devtools.cloudtrace.v1": "cloudtrace",
    "google.devtools.cloudtrace.v2": "cloudtrace",
    "google.iam.admin.v1": "iam",
    "google.iam.credentials.v1": "iamcredentials",
    "google.logging.v2": "logging",
    "google.monitoring.v3": "monitoring",
    "google.spanner.admin.database.v1": "spanner",
    "google.spanner.admin.instance.v1": "spanner",
    "google.spanner.v1": "spanner",
}
YOUNGER = {"google.spanner.v1.Spanner/FetchCacheUpdate"}
"""RPCs that the description does not have yet."""
RPCS = [
    rpc for package in HOSTS for rpc in rpcs(package).values() if rpc.bindings and rpc.path not in YOUNGER
]


@pytest.mark.parametrize("rpc", RPCS, ids=lambda rpc: rpc.path)
def test_every_rpc_is_a_method_of_its_apis_description(rpc):
    host = f"{HOSTS[rpc.path.partition('/')[0].rpartition('.')[0]]}.googleapis.com"
    variable = re.compile(r"\{[\w.]+(?:=([^}]*))?\}")
    for binding in rpc.bindings:
        path = variable.sub(
            lambda found: (found[1] or "*").replace("**", "x").replace("*", "x"), binding.template
        )
        if find(host, binding.verb, path) is not None:
            return
    pytest.fail(f"{host} has no method at {[each.template for each in rpc.bindings]}")


def test_every_package_with_methods_is_an_apis_or_is_shared():
    shared = {path.partition("/")[0].rpartition(".")[0] for path in MIXINS}
    assert {package for package in packages() if rpcs(package)} == HOSTS.keys() | shared
