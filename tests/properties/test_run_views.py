"""Laws of Cloud Run's two APIs: one is the other's inverse, and traffic only ever reaches what is ready."""

import json
from functools import cache

from hypothesis import given
from hypothesis import strategies as st
from tests.cloud_calls import PLACE, PROJECT, REGION, Cloud
from tests.unit.services.run.knative import Run, knative

from fogbank.errors import ApiError
from fogbank.resources.run import Readiness, read_service, ready_condition, service_name
from fogbank.services.run.v2.words import CONTAINER, SERVICE, TEMPLATE

SERVICES = "run.v2.projects.locations.services"
NAME = f"{PLACE}/services/hello"

words = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)
texts = st.dictionaries(words, words, min_size=1, max_size=2)


containers = st.fixed_dictionaries(
    {"image": st.just("us-docker.pkg.dev/p/r/app:v1")},
    optional={
        "args": st.lists(words, min_size=1, max_size=2),
        "command": st.lists(words, min_size=1, max_size=2),
        "env": st.lists(
            st.builds(lambda n, v: {"name": n, "value": v}, words, words), min_size=1, max_size=2
        ),
        "ports": st.integers(1, 65535).map(lambda p: [{"name": "http1", "containerPort": p}]),
        "workingDir": st.just("/srv"),
        "resources": st.fixed_dictionaries(
            {"limits": st.just({"cpu": "2", "memory": "1Gi"})},
            optional={"cpuIdle": st.booleans(), "startupCpuBoost": st.booleans()},
        ),
    },
)
templates = st.fixed_dictionaries(
    {"containers": containers.map(lambda c: [c])},
    optional={
        "labels": texts,
        "annotations": texts,
        "timeout": st.integers(1, 3600).map("{}s".format),
        "maxInstanceRequestConcurrency": st.integers(1, 1000),
        "executionEnvironment": st.sampled_from(["EXECUTION_ENVIRONMENT_GEN1", "EXECUTION_ENVIRONMENT_GEN2"]),
        "scaling": st.integers(1, 9).map(lambda n: {"minInstanceCount": n, "maxInstanceCount": n + 1}),
        "vpcAccess": st.sampled_from(["ALL_TRAFFIC", "PRIVATE_RANGES_ONLY"]).map(
            lambda e: {"connector": f"{PLACE}/connectors/connector", "egress": e}
        ),
        "revision": st.just("hello-named"),
    },
)
services = st.fixed_dictionaries(
    {"template": templates},
    optional={
        "description": words,
        "labels": texts,
        "annotations": texts,
        "ingress": st.sampled_from(["INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY"]),
        "launchStage": st.sampled_from(["GA", "BETA"]),
        "invokerIamDisabled": st.booleans(),
        "customAudiences": st.lists(words, min_size=1, max_size=2),
        "scaling": st.integers(1, 3).map(lambda n: {"minInstanceCount": n}),
    },
)


def contains(whole, part):
    """Whether everything in ``part`` is in ``whole``, lists item by item; False may be left out."""
    if isinstance(part, dict):
        return all(contains(whole.get(key), value) for key, value in part.items() if value is not False)
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(contains, whole, part))
    return whole == part


@cache
def beginning():
    cloud = Cloud()
    cloud.subnetwork()
    cloud.connector()
    return cloud


def region():
    return beginning().branch()


@given(services)
def test_what_v2_writes_v2_shows(body):
    cloud = region()
    cloud(f"{SERVICES}.create", body, parent=PLACE, serviceId="hello")
    assert contains(cloud(f"{SERVICES}.get", name=NAME), body)


@given(services)
def test_writing_back_what_v2_shows_changes_nothing(body):
    cloud = region()
    cloud(f"{SERVICES}.create", body, parent=PLACE, serviceId="hello")
    before = cloud.world.get(service_name(PROJECT, REGION, "hello"))
    cloud(f"{SERVICES}.patch", cloud(f"{SERVICES}.get", name=NAME), name=NAME)
    assert cloud.world.get(service_name(PROJECT, REGION, "hello")) == before


ANNOTATIONS = [word.annotation for word in (*SERVICE, *TEMPLATE, *CONTAINER)]
odd = ['["a"]', "[1]", "{", "[" * 9999, "null", r'["\ud800"]']
values = st.sampled_from(["1", "all", "gen2", "BETA", "automatic", *odd]) | st.text()
annotations = st.dictionaries(st.sampled_from(ANNOTATIONS), values, max_size=2)


@given(annotations, annotations)
def test_what_v1_accepts_v2_can_show(of_service, of_template):
    cloud = Run()
    body = knative(annotations=of_template)
    body["metadata"]["annotations"] = of_service
    try:
        cloud.create(body)
    except ApiError:
        return
    shown = cloud(f"{SERVICES}.get", name=NAME)
    assert shown["name"] == NAME
    assert None not in shown.values()
    assert json.dumps(shown, ensure_ascii=False).encode()
    assert len(cloud(f"{SERVICES}.revisions.list", parent=NAME)) == 1


FIELDS = "template containers scaling vpcAccess traffic labels annotations conditions terminal_condition"
NAMES = f"{FIELDS} description name image min_instance_count percent 0 * x".split()
paths = st.lists(st.sampled_from([*NAMES, ""]), max_size=4).map(".".join)
masks = st.text(max_size=20) | st.lists(paths, max_size=3).map(",".join)


@given(services, services, masks)
def test_any_mask_is_kept_or_refused_and_a_refusal_changes_nothing(body, patch, mask):
    cloud = region()
    cloud(f"{SERVICES}.create", body, parent=PLACE, serviceId="hello")
    before = cloud.world
    try:
        cloud(f"{SERVICES}.patch", patch, name=NAME, updateMask=mask)
    except ApiError:
        assert cloud.world == before


@given(st.lists(st.sampled_from(["deploy", "ready", "fail"]), max_size=12))
def test_traffic_only_reaches_revisions_that_are_ready(steps):
    cloud = Run()
    cloud.create(knative())
    for number, step in enumerate(steps):
        if step == "deploy":
            cloud.replace(knative(labels={"client.knative.dev/nonce": f"n{number}"}))
        elif step == "ready":
            cloud.ready()
        else:
            cloud.fail()
        service = read_service(cloud.world.get(service_name(PROJECT, REGION, "hello")))
        for target in service.traffic:
            body = cloud.world.get(service.revision(target.revision)).body
            assert ready_condition(body) is Readiness.READY
        if service.latest_ready:
            assert sum(t.percent for t in service.traffic) == 100
