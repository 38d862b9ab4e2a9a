"""What exists after a plan that failed in part: asked again, a plan repeats exactly what failed."""

from dataclasses import replace
from ipaddress import IPv4Network

from hypothesis import given
from hypothesis import strategies as st
from tests.drawn_worlds import worlds
from tests.lowered import compiler

from fogbank.network.topology import DeviceName, Hop, Link, NetnsName, NetworkNamespace, Port, Route, Topology
from fogbank.planning.plan import Create, Remove, Replace, plan
from fogbank.planning.unapplied import unapplied

A, B, C = (NetworkNamespace(NetnsName(name)) for name in "abc")
LINK = Link(Port(A.name, DeviceName("x")), Port(B.name, DeviceName("x")))
ROUTE = Route(A.name, IPv4Network("10.0.0.0/8"), (Hop(LINK.left.device),))


def topology(*elements):
    return Topology.of(elements)


def test_when_all_went_well_what_exists_is_what_was_desired():
    desired = topology(A)
    assert unapplied(topology(), desired, [Create(A)], ()) is desired


def test_what_could_not_be_created_is_missing():
    assert unapplied(topology(), topology(A, B), [Create(A)], [Create(B)]) == topology(A)


def test_what_could_not_be_replaced_is_as_it_was():
    new = replace(A, forwards=True)
    assert unapplied(topology(A), topology(new), [], [Replace(A, new)]) == topology(A)


def test_what_could_not_be_removed_is_still_there():
    assert unapplied(topology(A, B), topology(A), [], [Remove(B)]) == topology(A, B)


def test_what_could_not_be_removed_is_gone_with_its_device_all_the_same():
    old = topology(A, B, LINK, ROUTE)
    assert unapplied(old, topology(A, B), [Remove(LINK)], [Remove(ROUTE)]) == topology(A, B)
    assert unapplied(old, topology(A), [Remove(B)], [Remove(ROUTE)]) == topology(A)


def test_of_two_namespaces_the_one_that_could_not_be_removed_has_lost_its_link_to_the_other():
    old = topology(A, B, LINK, ROUTE)
    assert unapplied(old, topology(), [Remove(B)], [Remove(A)]) == topology(A)


def test_a_link_that_could_be_neither_removed_nor_created_anew_is_where_it_was():
    moved = replace(LINK, right=Port(C.name, DeviceName("y")))
    old, new = topology(A, B, C, LINK, ROUTE), topology(A, B, C, moved, ROUTE)
    removed, *built = plan(old, new)
    assert unapplied(old, new, [], [removed, *built]) == old
    assert unapplied(old, new, [removed], built) == topology(A, B, C)


@given(worlds(), worlds(), st.randoms(use_true_random=False))
def test_a_second_plan_repeats_what_failed_and_leads_to_what_was_desired(before, after, random):
    remembering = compiler()
    old = remembering.compile(before[0], before[1], Topology()).topology
    new = remembering.compile(after[0], after[1], old).topology
    actions = plan(old, new)
    failed = [each for each in actions if isinstance(each, Replace) and random.random() < 0.5]
    done = [each for each in actions if each not in failed]
    exists = unapplied(old, new, done, failed)
    assert plan(exists, new) == tuple(failed)
    assert unapplied(exists, new, failed, ()) == new
