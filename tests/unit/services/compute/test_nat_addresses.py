"""Addresses that an automatic gateway takes for itself."""

from ipaddress import IPv4Address

import pytest
from tests.compute_calls import NOW, REGION, Compute, auto_nat, manual_nat

from fogbank.errors import ApiError
from fogbank.resources.compute import NatGateway, Router
from fogbank.resources.names import compute_name
from fogbank.services.compute.nat_addresses import adjusted
from fogbank.services.contract import Call

ROUTER = compute_name("routers", "demo", "regions", REGION, "router")
WHERE = {"region": REGION, "router": "router"}


@pytest.fixture
def compute() -> Compute:
    made = Compute()
    made.network("net")
    made.router(nats=[auto_nat()])
    return made


def gateway(compute: Compute) -> NatGateway:
    (found,) = Router.of(compute.world.get(ROUTER)).nats
    return found


def adjust(compute: Compute, needed: int, *used: str) -> list[str]:
    """Adjust the gateway's addresses, and list them."""
    call = Call("compute.v1.routers.patch", {}, {}, "", NOW, compute.new_id)
    changes = adjusted(compute.world, call, gateway(compute), needed, frozenset(map(IPv4Address, used)))
    compute.world = compute.world.after(changes)
    return automatic(compute)


def automatic(compute: Compute) -> list[str]:
    found = compute("addresses.list", region=REGION)
    return [each["address"] for each in found if each.get("purpose") == "NAT_AUTO"]


def test_addresses_come_as_they_are_needed_and_unused_ones_go(compute: Compute) -> None:
    assert adjust(compute, 1) == ["203.0.113.1"]
    assert adjust(compute, 3) == ["203.0.113.1", "203.0.113.2", "203.0.113.3"]
    assert len(gateway(compute).addresses) == 3
    assert adjust(compute, 1, "203.0.113.1", "203.0.113.3") == ["203.0.113.1", "203.0.113.3"]
    assert adjust(compute, 0) == ["203.0.113.1"], "one is always held"
    assert adjust(compute, 2) == ["203.0.113.1", "203.0.113.2"]
    names = [name.id.split("-") for name in gateway(compute).addresses]
    assert [name[4] for name in names] == ["0", "1"]


def test_what_was_decided_for_a_gateway_that_went_changes_nothing(compute: Compute) -> None:
    before = gateway(compute)
    compute("routers.delete", **WHERE)
    call = Call("compute.v1.routers.patch", {}, {}, "", NOW, compute.new_id)
    assert adjusted(compute.world, call, before, 3, frozenset()) == ()


def test_a_pool_without_free_addresses_gives_none(compute: Compute) -> None:
    with pytest.raises(ApiError, match="STATIC_ADDRESSES"):
        adjust(compute, 300)
    assert automatic(compute) == ["203.0.113.1"]


def test_a_change_to_manual_addresses_and_another_tier_give_the_automatic_ones_back(compute: Compute) -> None:
    adjust(compute, 2)
    compute("routers.patch", {"nats": [auto_nat(autoNetworkTier="STANDARD")]}, **WHERE)
    found = [each for each in compute("addresses.list", region=REGION) if each.get("purpose") == "NAT_AUTO"]
    assert {each["networkTier"] for each in found} == {"STANDARD"}
    compute.address("ip")
    compute("routers.patch", {"nats": [manual_nat("ip")]}, **WHERE)
    assert automatic(compute) == []
