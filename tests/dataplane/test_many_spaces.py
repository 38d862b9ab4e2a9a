"""A region may have hundreds of spaces, and each keeps some descriptors open."""

from ipaddress import IPv4Address

import pytest
from tests.private_world import Lab

from fogbank.network.topology import DeviceName, Filter, Guard, Policy, Space, SpaceName


@pytest.mark.netns
@pytest.mark.slow
def test_rules_are_loaded_beside_six_hundred_other_spaces(lab: Lab) -> None:
    many = [Space(SpaceName(f"instance/{n}")) for n in range(600)]
    router = SpaceName("vpc/demo/last")
    lab.build(
        *many,
        Space(router, forwards=True),
        Filter(router),
        Policy(router, "open", (), "allow"),
        Guard(router, DeviceName("10.8.0.2"), IPv4Address("10.8.0.2"), "open", "open"),
    )
    assert lab.driver.drops(router) == {}
