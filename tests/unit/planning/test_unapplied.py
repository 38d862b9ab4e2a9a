"""What exists after a plan that failed in part: asked again, a plan repeats exactly what failed."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.drawn_worlds import worlds
from tests.lowered import compiler

from fogbank.network.topology import NetnsName, NetworkNamespace, Topology
from fogbank.planning.plan import Create, Remove, Replace, plan
from fogbank.planning.unapplied import unapplied

A, B = NetworkNamespace(NetnsName("a")), NetworkNamespace(NetnsName("b"))


def topology(*elements):
    return Topology.of(elements)


def test_when_all_went_well_what_exists_is_what_was_desired():
    desired = topology(A)
    assert unapplied(topology(), desired, ()) is desired


def test_what_could_not_be_created_is_missing():
    assert unapplied(topology(), topology(A, B), [Create(B)]) == topology(A)


def test_what_could_not_be_replaced_is_as_it_was():
    new = replace(A, forwards=True)
    assert unapplied(topology(A), topology(new), [Replace(A, new)]) == topology(A)


def test_what_could_not_be_removed_is_still_there():
    assert unapplied(topology(A, B), topology(A), [Remove(B)]) == topology(A, B)


@given(worlds(), worlds(), st.randoms(use_true_random=False))
def test_a_second_plan_repeats_what_failed_and_leads_to_what_was_desired(before, after, random):
    remembering = compiler()
    old = remembering.compile(before[0], before[1], Topology()).topology
    new = remembering.compile(after[0], after[1], old).topology
    actions = plan(old, new)
    failed = [each for each in actions if isinstance(each, Replace) and random.random() < 0.5]
    exists = unapplied(old, new, failed)
    assert plan(exists, new) == tuple(failed)
    assert unapplied(exists, new, ()) == new
