"""Free ranges: aligned, inside, and beside all that is taken."""

from ipaddress import IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from fogbank.resources.network_ranges import free_range

WITHIN = IPv4Network("10.0.0.0/20")


@st.composite
def parts(draw: st.DrawFn) -> IPv4Network:
    length = draw(st.integers(16, 32))
    address = draw(st.integers(int(IPv4Network("9.255.240.0/20")[0]), int(IPv4Network("10.0.32.0/20")[-1])))
    return IPv4Network((address, length), strict=False)


@given(st.lists(parts(), max_size=12), st.integers(20, 30), st.integers(0, 10**6))
def test_a_free_range_overlaps_nothing_and_is_found_whenever_there_is_one(taken, length, start):
    found = free_range(taken, WITHIN, length, start)
    free = [each for each in WITHIN.subnets(new_prefix=length) if not any(map(each.overlaps, taken))]
    assert (found is None) == (not free)
    assert found is None or found in free


@given(st.integers(0, 10**6))
def test_without_anything_taken_the_search_begins_where_it_is_told_to(start):
    assert free_range((), WITHIN, 29, start) == IPv4Network((int(WITHIN[0]) + start % 512 * 8, 29))


def test_what_is_larger_than_where_it_should_be_is_not_found():
    assert free_range((), WITHIN, 19) is None
