"""What the services answer fits Google's schemas."""

import json

import pytest
from tests.serving import NOW, OPERATOR, TOKEN, Region

from fogbank.app.projects import Projects
from fogbank.app.registry import services
from fogbank.discovery.routes import find
from fogbank.discovery.schemas import check_response
from fogbank.frontend.api.messages import ApiRequest
from fogbank.services.contract import catalogue_of

COMPUTE = "compute.googleapis.com/compute/v1/projects/demo"
REGIONAL = f"{COMPUTE}/regions/asia-northeast3"
CONNECTORS = "vpcaccess.googleapis.com/v1/projects/demo/locations/asia-northeast3/connectors"
KNATIVE = "asia-northeast3-run.googleapis.com/apis/serving.knative.dev/v1/namespaces/demo"
RUN = "run.googleapis.com/v2/projects/demo/locations/asia-northeast3"
IMAGE = "asia.gcr.io/demo/app"
NAT = {
    "name": "nat",
    "natIpAllocateOption": "MANUAL_ONLY",
    "natIps": ["projects/demo/regions/asia-northeast3/addresses/origin"],
    "sourceSubnetworkIpRangesToNat": "LIST_OF_SUBNETWORKS",
    "subnetworks": [
        {
            "name": "projects/demo/regions/asia-northeast3/subnetworks/small",
            "sourceIpRangesToNat": ["ALL_IP_RANGES"],
        }
    ],
}
SERVICE = {
    "apiVersion": "serving.knative.dev/v1",
    "kind": "Service",
    "metadata": {"name": "app", "namespace": "demo"},
    "spec": {
        "template": {
            "metadata": {"annotations": {"run.googleapis.com/vpc-access-connector": "link"}},
            "spec": {"containers": [{"image": IMAGE}]},
        }
    },
}
CALLS = [
    ("POST", f"{COMPUTE}/global/networks", {"name": "own", "autoCreateSubnetworks": False}),
    ("GET", f"{COMPUTE}/global/networks/own", None),
    ("GET", f"{COMPUTE}/global/networks", None),
    ("POST", f"{REGIONAL}/subnetworks",
     {"name": "small", "network": "global/networks/default", "ipCidrRange": "10.124.0.0/28"}),
    ("GET", f"{REGIONAL}/subnetworks/small", None),
    ("GET", f"{REGIONAL}/subnetworks", None),
    ("GET", f"{COMPUTE}/aggregated/subnetworks?includeAllScopes=true", None),
    ("POST", f"{REGIONAL}/subnetworks",
     {"name": "wide", "network": "global/networks/default", "ipCidrRange": "10.125.0.0/28"}),
    ("POST", f"{REGIONAL}/subnetworks/wide/expandIpCidrRange", {"ipCidrRange": "10.125.0.0/27"}),
    ("POST", f"{REGIONAL}/addresses", {"name": "origin"}),
    ("GET", f"{REGIONAL}/addresses/origin", None),
    ("GET", f"{COMPUTE}/aggregated/addresses", None),
    ("POST", f"{COMPUTE}/global/addresses", {"name": "everywhere"}),
    ("POST", f"{REGIONAL}/routers", {"name": "edge", "network": "global/networks/default"}),
    ("PATCH", f"{REGIONAL}/routers/edge", {"nats": [NAT]}),
    ("GET", f"{REGIONAL}/routers/edge", None),
    ("GET", f"{REGIONAL}/routers/edge/getRouterStatus", None),
    ("GET", f"{REGIONAL}/routers/edge/getNatMappingInfo", None),
    ("GET", f"{REGIONAL}/routers/edge/getNatIpInfo", None),
    ("POST", f"{COMPUTE}/global/firewalls",
     {"name": "in", "network": "global/networks/default", "allowed": [{"IPProtocol": "tcp"}]}),
    ("GET", f"{COMPUTE}/global/firewalls", None),
    ("GET", f"{COMPUTE}/global/routes", None),
    ("GET", f"{COMPUTE}/regions", None),
    ("GET", f"{COMPUTE}/zones", None),
    ("GET", COMPUTE, None),
    ("GET", f"{REGIONAL}/operations", None),
    (
        "POST",
        f"{CONNECTORS}?connectorId=link",
        {"subnet": {"name": "small"}, "minInstances": 2, "maxInstances": 3},
    ),
    ("GET", f"{CONNECTORS}/link", None),
    ("GET", CONNECTORS, None),
    ("POST", f"{KNATIVE}/services", SERVICE),
    ("GET", f"{KNATIVE}/services/app", None),
    ("GET", f"{KNATIVE}/services", None),
    ("GET", f"{KNATIVE}/revisions", None),
    ("GET", f"{KNATIVE}/configurations/app", None),
    ("GET", f"{KNATIVE}/routes/app", None),
    ("POST", f"{RUN}/services?serviceId=second", {"template": {"containers": [{"image": IMAGE}]}}),
    ("GET", f"{RUN}/services/second", None),
    ("GET", f"{RUN}/services", None),
    ("GET", f"{RUN}/services/second/revisions", None),
    ("GET", f"{RUN}/services/second:getIamPolicy", None),
    ("POST", f"{RUN}/services/second:setIamPolicy",
     {"policy": {"bindings": [{"role": "roles/run.invoker", "members": ["allUsers"]}]}}),
    ("GET", "cloudresourcemanager.googleapis.com/v1/projects/demo", None),
    ("GET", "cloudresourcemanager.googleapis.com/v3/projects/demo", None),
    ("POST", "cloudresourcemanager.googleapis.com/v1/projects/demo:getIamPolicy", {}),
    ("GET", "serviceusage.googleapis.com/v1/projects/demo/services/run.googleapis.com", None),
    ("POST", "serviceusage.googleapis.com/v1/projects/demo/services/redis.googleapis.com:enable", {}),
    ("GET", "serviceusage.googleapis.com/v1/projects/demo/services?filter=state:ENABLED", None),
    ("POST", "iam.googleapis.com/v1/projects/demo/serviceAccounts", {"accountId": "runner"}),
    ("GET", "iam.googleapis.com/v1/projects/demo/serviceAccounts", None),
]  # fmt: skip


@pytest.fixture
async def region(tmp_path):
    made = Region(tmp_path, services())
    ids = iter(range(10**18, 10**18 + 100000))
    projects = Projects(
        made.store, owner=OPERATOR, strict=False, defaults=catalogue_of(services()).new_project,
        now=lambda: NOW, new_id=lambda: next(ids),
    )  # fmt: skip
    await projects.ensure("demo")
    yield made
    await made.store.close()


async def test_every_answer_of_a_long_story_fits_googles_schema(region):
    misfits: list[tuple[str, str, object] | tuple[str, str]] = []
    for verb, url, body in CALLS:
        host, _, rest = url.partition("/")
        path, _, query = rest.partition("?")
        content = b"" if body is None else json.dumps(body).encode()
        request = ApiRequest(verb, host, f"/{path}", query.encode(), TOKEN, "application/json", content)
        reply = await region.api.answer(request)
        answer = json.loads(reply.content)
        found = find(host, verb, f"/{path}")
        assert found is not None
        if reply.status != 200:
            misfits.append((verb, url, answer))
            continue
        method = found.method
        misfits += [(method.id, why) for why in check_response(method.document, method.response, answer)]
    assert misfits == []
