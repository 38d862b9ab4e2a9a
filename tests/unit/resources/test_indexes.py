"""Indexes of a World agree with a scan of it, whatever was changed in whatever order."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from fogbank.resources.indexes import OPERATIONS, Index
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import Operation
from fogbank.resources.world import Delete, DeleteOperation, Put, PutOperation, Resource, World

NOW = datetime(2026, 1, 2, tzinfo=UTC)
RULES, ROUTES = "compute.firewalls", "compute.routes"
OF_NETWORK: Index[Resource] = Index(RULES, lambda rule: (rule.body["network"],))
BY_TAG: Index[Resource] = Index(RULES, lambda rule: rule.body["tags"])
BY_TARGET: Index[Operation] = Index(OPERATIONS, lambda operation: (operation.target.path,))
BY_END: Index[Operation] = Index(OPERATIONS, lambda operation: (operation.ended,) if operation.ended else ())


def name(collection, number):
    return ResourceName(collection, f"projects/{'pq'[number % 2]}/global/x/{number}")


NUMBERS = st.integers(0, 9)
RESOURCES = st.builds(
    lambda collection, number, identifier, network, tags: Resource(
        name(collection, number), identifier, NOW, {"network": network, "tags": tags}
    ),
    st.sampled_from((RULES, ROUTES)),
    NUMBERS,
    st.integers(0, 3),
    st.sampled_from("ab"),
    st.lists(st.sampled_from("xyz")),
)
OPERATIONS_DRAWN = st.builds(
    lambda number, target, ended: Operation(
        name("compute.operations", number),
        number,
        "insert",
        name(RULES, target),
        1,
        "me",
        NOW,
        status="RUNNING" if ended is None else "DONE",
        ended=None if ended is None else NOW + timedelta(seconds=ended),
    ),
    NUMBERS,
    NUMBERS,
    st.none() | st.integers(0, 3),
)
CHANGES = st.one_of(
    RESOURCES.map(Put),
    st.builds(lambda kind, n: Delete(name(kind, n)), st.sampled_from((RULES, ROUTES)), NUMBERS),
    OPERATIONS_DRAWN.map(PutOperation),
    NUMBERS.map(lambda n: DeleteOperation(name("compute.operations", n))),
)


def check(world):
    """Compare every way to ask an index with a scan of the same World."""
    for kind in (RULES, ROUTES):
        scanned = sorted(world.collections.get(kind, {}).values(), key=lambda each: each.name)
        for under in ("", "projects/p/", "projects/q/global/", "projects/none/"):
            mine = [each for each in scanned if each.name.path.startswith(under)]
            assert list(world.all(kind, under)) == mine
            assert world.count(kind, under) == len(mine)
            for after in (each.name.path for each in scanned):
                assert list(world.all(kind, under, after)) == [r for r in mine if r.name.path > after]
            for number in range(4):
                having = [each for each in mine if each.id == number]
                assert world.with_id(kind, str(number), under) == next(iter(having), None)
    rules = sorted(world.collections.get(RULES, {}).values(), key=lambda each: each.name)
    for network in "ab":
        assert list(world.by(OF_NETWORK, network)) == [r for r in rules if r.body["network"] == network]
    for tag in "xyz":
        assert list(world.by(BY_TAG, tag)) == [r for r in rules if tag in r.body["tags"]]
    operations = sorted(world.operations.values(), key=lambda each: each.name)
    assert list(world.operations_under("projects/p/")) == [
        each for each in operations if each.name.path.startswith("projects/p/")
    ]
    for number in range(10):
        target = name(RULES, number)
        assert list(world.by(BY_TARGET, target.path)) == [o for o in operations if o.target == target]
    ended = sorted((o for o in operations if o.ended), key=lambda o: (o.ended, o.name))
    assert list(world.ordered(BY_END)) == [(each.ended, each) for each in ended]
    assert dict(world.running) == {path: o for path, o in world.operations.items() if o.status == "RUNNING"}


@given(st.lists(st.lists(CHANGES, max_size=6), max_size=8), st.sets(st.integers(0, 8)))
def test_an_index_agrees_with_a_scan_after_any_changes(batches, read):
    worlds = [World()]
    for number, changes in enumerate(batches):
        if number in read:
            check(worlds[-1])
        worlds.append(worlds[-1].after(changes))
    for world in reversed(worlds):  # older ones are still whole, even when they are read last
        check(world)


def counted():
    """Make an index that counts how many members it looked at."""
    looked = []

    def keys(rule):
        looked.append(rule.name)
        return (rule.body["network"],)

    return Index(RULES, keys), looked


def rule(number, network="a"):
    return Put(Resource(name(RULES, number), number, NOW, {"network": network}))


def test_an_index_is_built_once_and_then_costs_what_changed():
    index, looked = counted()
    world = World().after(map(rule, range(1000)))
    assert len(list(world.by(index, "a"))) == 1000
    looked.clear()
    for number in range(10):
        world = world.after([rule(number, "b")])
        assert len(list(world.by(index, "b"))) == number + 1
    assert len(looked) == 20  # the rule before and the rule after


def test_other_collections_changes_leave_an_index_alone_even_if_it_is_read_later():
    index, looked = counted()
    first = World().after(map(rule, range(100)))
    second = first.after([Put(Resource(name(ROUTES, 1), 1, NOW, {}))])
    list(first.by(index, "a"))
    looked.clear()
    assert len(list(second.by(index, "a"))) == 100
    assert looked == []


def test_an_index_that_is_read_in_a_world_that_has_a_successor_is_carried_along_from_then_on():
    index, looked = counted()
    world = World().after(map(rule, range(100)))
    newest = world.after([rule(0)])
    builds = 0
    for number in range(1, 20):  # as in the store: whoever reads is always one World behind
        looked.clear()
        list(world.by(index, "a"))
        builds += len(looked) >= 100
        world, newest = newest, newest.after([rule(number)])
        builds += len(looked) >= 200
    assert builds <= 2


def test_a_change_that_puts_what_is_there_already_changes_no_collection():
    put = rule(1)
    world = World().after([put])
    again = world.after([put, Delete(name(RULES, 2))])
    assert again.collections is world.collections
