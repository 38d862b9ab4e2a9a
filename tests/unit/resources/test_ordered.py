"""A persistent sorted set is a sorted set, and a change leaves the one before as it was."""

from hypothesis import given
from hypothesis import strategies as st

from fogbank.resources.ordered import LONGEST_CHUNK, OrderedSet

ENTRIES = st.tuples(st.integers(0, 60))


def check(found, expected):
    assert list(found) == sorted(expected)
    assert len(found) == len(expected)
    assert all(0 < len(chunk) <= found.longest for chunk in found.chunks)


@given(st.lists(ENTRIES), st.lists(st.tuples(st.booleans(), ENTRIES), max_size=80), ENTRIES)
def test_after_any_changes_it_holds_what_a_set_would_in_order(start, changes, low):
    present, expected = OrderedSet.of(start, longest=4), set(start)
    check(present, expected)
    assert OrderedSet.of([*start, *start], longest=4).chunks == present.chunks
    for add, entry in changes:
        before, kept = present, list(present)
        present = before.with_entry(entry) if add else before.without_entry(entry)
        expected = expected | {entry} if add else expected - {entry}
        check(present, expected)
        assert list(before) == kept
    assert present.place_of(low) == sum(entry < low for entry in expected)
    assert list(present.starting_at(low)) == [entry for entry in sorted(expected) if entry >= low]


def test_a_set_that_shrinks_is_not_left_in_crumbs():
    many = 100 * LONGEST_CHUNK
    present = OrderedSet.of((n,) for n in range(many))
    for n in range(many):
        if n % 64:
            present = present.without_entry((n,))
    assert list(present) == [(n,) for n in range(0, many, 64)]
    assert len(present.chunks) <= len(present) // (LONGEST_CHUNK // 8)
