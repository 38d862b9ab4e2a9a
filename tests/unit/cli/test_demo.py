"""The demo's steps: the article's commands, and requests that Google's own descriptions allow."""

import importlib.util
import os
import shlex
from pathlib import Path

import pytest

from fogbank.cli.demo import article_000, article_001, article_002, article_003, callers, steps
from fogbank.cli.demo.callers import ByRequest, unfinished
from fogbank.cli.demo.plain import address
from fogbank.cli.demo.steps import DemoRequest, Step
from fogbank.discovery.routes import methods
from fogbank.errors import OperatorError

AN3 = "asia-northeast3"
PLACE = steps.Place("demo", AN3)
HOST = "10.0.0.3"
TUTORIALS = Path(__file__).parents[3] / "docs" / "tutorials"
OF_001 = [
    *article_001.preparation(PLACE),
    article_001.create_redis(PLACE),
    article_001.deploy(PLACE),
    steps.connector(PLACE, "run-connector", "run-connector-subnet", "f1-micro"),
    article_001.by_connector(PLACE, HOST),
    article_001.by_direct_vpc(PLACE, HOST),
]
OF_002 = [
    steps.network(PLACE, "foobar-product-network"),
    *(
        step
        for name, (subnetwork, cidr) in article_002.MACHINES.items()
        for step in (
            steps.subnet(PLACE, "foobar-product-network", subnetwork, cidr, ""),
            article_002.machine(PLACE, name, subnetwork),
        )
    ),
    steps.router(PLACE, "foobar-product-network", "foobar-natgateway-router"),
    article_002.gateway(PLACE),
]
STEPS = [
    *OF_001,
    *OF_002,
    article_002.read_nat_address(PLACE),
    article_001.read_host(PLACE),
    *article_003.preparation(PLACE),
    *article_000.article(PLACE),
    steps.read_address(PLACE, "ip"),
    steps.read_url(PLACE, "production"),
]
REQUESTS = [request for step in STEPS for request in step.requests]
OPERATION = {"kind": "compute#operation", "name": "operation-1"}


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda r: r.method)
def test_every_request_is_a_method_that_google_describes(request_):
    api, version, name = request_.method.split(".", 2)
    method = methods(f"{api}.{version}")[name]
    assert bool(request_.body) == bool(method.request)
    verb, url = address(request_, AN3)
    assert verb == method.verb
    assert "{" not in url


def test_cloud_run_is_asked_on_its_regional_host():
    assert address(REQUESTS[-1], AN3)[1].startswith(f"https://{AN3}-run.googleapis.com/apis/serving")


def typed_in(page):
    return " ".join((TUTORIALS / page).read_text().replace("\\\n", " ").split())


def test_the_tutorial_types_what_the_demo_types():
    text = typed_in("000-static-outbound-ip.md")
    for step in article_000.article(PLACE):
        assert "gcloud " + shlex.join(step.command) in text
    text = typed_in("001-redis-direct-vpc.md").replace("$REDIS", HOST)
    for step in OF_001:
        assert "gcloud " + shlex.join(step.command) in text
    text = typed_in("002-private-machines.md")
    for step in OF_002:
        assert "gcloud " + shlex.join(step.command) in text
    text = typed_in("003-move-without-downtime.md")
    for step in article_003.preparation(PLACE):
        assert "gcloud " + shlex.join(step.command) in text


class Transport:
    """Answers from a list."""

    name = "a list"

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def call(self, request):
        self.asked.append(request.method)
        return self.answers.pop(0)


def test_a_compute_operation_is_polled_until_it_is_done(monkeypatch):
    monkeypatch.setattr(callers, "_PAUSE", 0)
    transport = Transport(OPERATION | {"status": "RUNNING"}, OPERATION | {"status": "DONE"})
    request = DemoRequest("compute.v1.addresses.insert", {"project": "p", "region": AN3})
    ByRequest(transport).do(Step("", (), (request,)))
    assert transport.asked == ["compute.v1.addresses.insert", "compute.v1.regionOperations.get"]


def test_an_operation_that_failed_fails_the_step():
    transport = Transport(OPERATION | {"status": "DONE", "error": {"errors": [{"message": "in use"}]}})
    with pytest.raises(OperatorError, match="in use"):
        ByRequest(transport).do(Step("", (), (DemoRequest("compute.v1.addresses.insert", {}),)))


def test_a_service_is_read_again_until_it_is_ready():
    service = {"kind": "Service", "metadata": {"name": "a", "namespace": "p"}, "status": {}}
    again = unfinished(REQUESTS[0], service)
    assert again is not None
    assert again.parameters == {"name": "namespaces/p/services/a"}
    ready = service | {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert unfinished(REQUESTS[0], ready) is None
    failed = service | {
        "status": {"conditions": [{"type": "Ready", "status": "False", "message": "no image"}]}
    }
    with pytest.raises(OperatorError, match="no image"):
        unfinished(REQUESTS[0], failed)


def test_a_value_is_read_as_gcloud_would_print_it():
    assert ByRequest(Transport({"status": {"url": "https://x"}})).read(STEPS[-1]) == "https://x"


def test_gcloud_is_preferred_and_plain_https_is_the_last_resort(monkeypatch, tmp_path):
    key = tmp_path / "key.json"
    key.write_text("{}")
    environment = {
        "GOOGLE_APPLICATION_CREDENTIALS": str(key),
        "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
        "HTTPS_PROXY": "http://127.0.0.1:1",
    }
    monkeypatch.setattr(callers, "which", lambda _: "/usr/bin/gcloud")
    assert callers.best_caller(environment, AN3).name == "gcloud (/usr/bin/gcloud)"
    monkeypatch.setattr(callers, "which", lambda _: None)
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    assert "Google's Python clients" in callers.best_caller(environment, AN3).name
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert "plain HTTPS" in callers.best_caller(environment, AN3).name
