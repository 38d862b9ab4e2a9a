"""A region may have hundreds of namespaces, and each keeps some descriptors open."""

from ipaddress import IPv4Address

import pytest
from tests.private_world import Lab

from fogbank.network.topology import (
    DeviceName,
    FirewallPolicy,
    NetnsName,
    NetworkNamespace,
    PortSecurity,
    StatefulFirewall,
)


@pytest.mark.netns
@pytest.mark.slow(1)
def test_rules_are_loaded_beside_six_hundred_other_namespaces(lab: Lab) -> None:
    many = [NetworkNamespace(NetnsName(f"instance/{n}")) for n in range(600)]
    router = NetnsName("vpc/demo/last")
    lab.build(
        *many,
        NetworkNamespace(router, forwards=True),
        StatefulFirewall(router),
        FirewallPolicy(router, "open", (), "allow"),
        PortSecurity(router, DeviceName("10.8.0.2"), IPv4Address("10.8.0.2"), "open", "open"),
    )
    assert lab.driver.drops(router) == {}
