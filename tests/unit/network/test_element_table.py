"""Tables that share what did not change read like dictionaries, and know in what they differ."""

from hypothesis import given
from hypothesis import strategies as st

from fogbank.network.element_table import ElementTable, Placed
from fogbank.network.sharded_map import ShardedMap
from fogbank.network.topology import DeviceName, Link, NetnsName, NetworkNamespace, Port, ports_of

KEYS = st.integers(0, 30)
STEPS = st.lists(st.tuples(st.dictionaries(KEYS, st.integers()), st.sets(KEYS)), max_size=6)


@given(STEPS)
def test_a_sharded_map_is_the_dictionary_that_the_same_changes_make(steps):
    plain: dict[int, int] = {}
    shared: ShardedMap[int, int] = ShardedMap()
    for puts, gone in steps:
        before, snapshot = shared, dict(shared)
        there = gone & plain.keys() - puts.keys()
        plain = {key: value for key, value in (plain | puts).items() if key not in there}
        shared = shared.changed(puts, there)
        assert dict(shared) == plain
        assert len(shared) == len(plain)
        assert dict(before) == snapshot
        differing = {key for key in plain.keys() | snapshot.keys() if plain.get(key) != snapshot.get(key)}
        assert differing <= set(shared.differing(before)) == set(before.differing(shared))


def test_a_sharded_map_without_changes_is_itself():
    empty: ShardedMap[str, int] = ShardedMap()
    known = empty.changed({"a": 1})
    assert known.changed({}) is known


def netns(name):
    return NetworkNamespace(NetnsName(name))


def link(left, right):
    return Link(Port(NetnsName(left), DeviceName("a")), Port(NetnsName(right), DeviceName("b")))


def table(*elements):
    return ElementTable().changed({e.key: Placed(e, (place,)) for place, e in enumerate(elements)})


def test_elements_come_in_their_order_whatever_came_first():
    made = ElementTable().changed({netns("b").key: Placed(netns("b"), (2,))})
    made = made.changed({netns("a").key: Placed(netns("a"), (3,)), netns("c").key: Placed(netns("c"), (1,))})
    assert list(made.values()) == [netns("c"), netns("b"), netns("a")]
    assert made.in_order([netns("a").key, netns("c").key]) == [netns("c"), netns("a")]


def test_a_link_is_found_by_either_end_until_it_goes_or_moves():
    left, first, second = NetnsName("x"), link("x", "y"), link("x", "z")
    made = table(first)
    assert all(made.standing_on([port]) == {first.key} for port in ports_of(first))
    moved = made.changed({second.key: Placed(second, (0,))})
    assert not moved.standing_on([first.right])
    assert moved.standing_on([second.right]) == {second.key}
    assert not moved.changed({}, {second.key}).standing_on([Port(left, DeviceName("a"))])
