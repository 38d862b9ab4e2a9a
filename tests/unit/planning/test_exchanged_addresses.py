"""External addresses that change hands in one plan: whoever had one gives it up before another takes it."""

from tests.kernel_model import apply
from tests.lowered import lower
from tests.worlds import default_route, machine, network, subnetwork, world

from fogbank.network.topology import SourceNat, Topology
from fogbank.planning.plan import Create, Remove, plan
from fogbank.resources.fleet import Fleet


def region(first: str | None, second: str | None) -> Topology:
    machines = [
        machine(f"vm-{n}", f"10.1.0.{n}", "s", gateway="10.1.0.1", external=external)
        for n, external in ((2, first), (3, second))
    ]
    made = world(network(), default_route(), subnetwork("s", "10.1.0.0/28"), *machines)
    return lower(made, Fleet(), Topology()).topology


def test_two_machines_exchange_their_external_addresses():
    before, after = region("203.0.113.5", "203.0.113.6"), region("203.0.113.6", "203.0.113.5")
    steps = [each for each in plan(before, after) if isinstance(getattr(each, "element", None), SourceNat)]
    assert [type(each) for each in steps] == [Remove, Remove, Create, Create]
    assert apply(before, plan(before, after)).elements == after.elements


def test_an_address_moves_to_another_machine_while_its_own_gets_a_new_one():
    before, after = region("203.0.113.5", None), region("203.0.113.6", "203.0.113.5")
    assert apply(before, plan(before, after)).elements == after.elements
