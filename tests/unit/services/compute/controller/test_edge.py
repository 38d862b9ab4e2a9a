"""What the proxy of load balancers is told, and when a health check gives its verdict."""

import asyncio
import json
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.compute_calls import Compute
from tests.unit.services.compute.load_balancing.test_parts import ZONE, chain, machine

from fogbank.resources.backend_health import BackendHealth
from fogbank.resources.load_balancing import Endpoint, HealthCheck
from fogbank.resources.names import ResourceName
from fogbank.resources.url_maps import chosen_action
from fogbank.services.compute.controller.edge.checking import HealthChecking
from fogbank.services.compute.controller.edge.listeners import Certificates, listener
from fogbank.services.compute.controller.edge.snapshot import snapshot

CHECK = ResourceName("compute.healthChecks", "projects/demo/global/healthChecks/hc")
NETWORK = ResourceName("compute.networks", "projects/demo/global/networks/net")


@pytest.fixture
def compute() -> Compute:
    made = Compute()
    made.network()
    made.subnetwork("s", "10.0.0.0/24")
    made("healthChecks.insert", {"name": "hc", "type": "HTTP"})
    body = {"name": "neg", "network": "global/networks/net", "defaultPort": 80}
    made("networkEndpointGroups.insert", body, zone=ZONE)
    machine(made)
    asked = {"networkEndpoints": [{"instance": "vm"}]}
    made("networkEndpointGroups.attachNetworkEndpoints", asked, zone=ZONE, networkEndpointGroup="neg")
    return made


def test_the_proxy_is_told_only_what_a_forwarding_rule_leads_to(compute):
    health = BackendHealth()
    assert json.loads(snapshot(compute.world, health)["cds.json"]) == {"resources": []}
    chain(compute)
    files = snapshot(compute.world, health)
    kinds = sorted(name.partition("-")[0] for name in files)
    assert kinds == ["cds.json", "eds", "lds.json", "rds"]


def test_a_verdict_changes_the_file_of_endpoints_and_no_other(compute):
    chain(compute)
    health = BackendHealth()
    before = snapshot(compute.world, health)
    address = IPv4Address(
        compute("instances.get", zone=ZONE, instance="vm")["networkInterfaces"][0]["networkIP"]
    )
    health.note((CHECK, Endpoint(NETWORK, address, 80, "vm")), healthy=True)
    after = snapshot(compute.world, health)
    (changed,) = [name for name in after if before[name] != after[name]]
    assert changed.startswith("eds-")
    assert str(address) in after[changed].decode()


def test_a_proxy_without_a_certificate_yet_has_no_listener_and_one_without_tls_has(compute):
    chain(compute)
    rule = next(compute.world.all("compute.forwardingRules"))
    assert listener(rule, {}, Certificates(), None, web=True) is None
    assert listener(rule, {}, None, None, web=True) is not None


_LABELS = st.text("ab", min_size=1, max_size=3)


@given(st.lists(_LABELS, min_size=1, max_size=4), st.lists(_LABELS, max_size=3))
def test_the_longest_path_that_matches_wins(segments, asked):
    paths = {"/" + "/".join(segments[:length]) + "/*" for length in range(1, len(segments) + 1)}
    rules = [{"paths": [path], "service": path} for path in sorted(paths)]
    matcher = {"name": "m", "defaultService": "none", "pathRules": rules}
    url_map = {
        "defaultService": "none",
        "hostRules": [{"hosts": ["*"], "pathMatcher": "m"}],
        "pathMatchers": [matcher],
    }
    path = "/" + "".join(f"{each}/" for each in asked)
    _, action = chosen_action(url_map, "x.example", path)
    fitting = [each for each in paths if path.startswith(each[:-1])]
    assert action["service"] == max(fitting, key=len, default="none")


async def test_two_successes_make_an_endpoint_healthy_and_two_failures_unhealthy():
    check = HealthCheck(CHECK, "TCP", 80, "/", "", "", "", "", False, 1, 1, 2, 2)
    endpoint = Endpoint(NETWORK, IPv4Address("10.0.0.2"), 80)
    health, answers, verdicts = BackendHealth(), ["", "broken", "", "", "broken", "broken"], []
    changed = asyncio.Event()

    async def probe(_check: HealthCheck, _endpoint: Endpoint) -> str:
        return answers.pop(0) if answers else "broken"

    def note() -> None:
        verdicts.append((health.is_healthy(CHECK, endpoint), 6 - len(answers)))
        if len(verdicts) == 2:
            changed.set()

    checking = HealthChecking(health, probe, note)
    checking.want([(check, endpoint)])
    async with asyncio.timeout(60):
        await changed.wait()
    await checking.close()
    assert verdicts == [(True, 4), (False, 6)]
    assert health.why[CHECK, endpoint] == "broken"
