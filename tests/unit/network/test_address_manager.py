"""An address once given stays with its holder, and nobody gets somebody else's."""

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from fogbank.network.address_manager import AddressManager
from fogbank.network.addressing import usable

RANGE = IPv4Network("10.1.0.0/28")
ADDRESSES = st.integers(-2, 18).map(lambda number: IPv4Address(int(RANGE.network_address) + number))
HOLDERS = st.lists(st.sampled_from("abcdefghijklmnopq"), unique=True)


@given(HOLDERS, st.sets(ADDRESSES), st.dictionaries(st.sampled_from("abcdefghijklmnopq"), ADDRESSES))
def test_addresses_are_different_free_and_in_the_range(holders, taken, held):
    given_out = AddressManager(set(taken)).assign(RANGE, holders, held)
    found = [each for each in given_out if each]
    assert len(set(found)) == len(found)
    assert taken.isdisjoint(found)
    assert all(int(each) in usable(RANGE) for each in found)
    free = [n for n in usable(RANGE) if IPv4Address(n) not in taken]
    assert len(found) == min(len(holders), len(free))


@given(HOLDERS, HOLDERS, st.sets(ADDRESSES))
def test_who_has_an_address_keeps_it_whoever_comes_and_goes(before, after, taken):
    first = dict(zip(before, AddressManager(set(taken)).assign(RANGE, before, {}), strict=True))
    held = {holder: address for holder, address in first.items() if address}
    second = dict(zip(after, AddressManager(set(taken)).assign(RANGE, after, held), strict=True))
    assert all(second[holder] == held[holder] for holder in after if holder in held)


def test_the_lowest_free_addresses_are_given_and_a_full_range_gives_none():
    manager = AddressManager()
    manager.take([IPv4Address("10.1.0.3")])
    assert manager.assign(RANGE, ["a", "b"], {}) == (IPv4Address("10.1.0.2"), IPv4Address("10.1.0.4"))
    assert AddressManager().assign(RANGE, list(range(13)), {})[12] is None
