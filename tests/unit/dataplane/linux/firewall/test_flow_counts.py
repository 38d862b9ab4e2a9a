"""The law of counting: what is returned for connections adds up to what the kernel counted in all."""

from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from fogbank.dataplane.driver import Counted, CountedFlow
from fogbank.dataplane.linux.firewall.flow_counts import Differences

A, B = IPv4Address("10.8.0.2"), IPv4Address("192.0.2.1")
FLOW = CountedFlow(6, A, 1, B, 2, Counted(0, 0), Counted(0, 0), None, None)

grown = st.tuples(st.integers(0, 5), st.integers(0, 5))
looks = st.lists(
    st.dictionaries(
        st.sampled_from([b"a", b"b", b"c"]), st.tuples(grown, st.sampled_from(["lives", "ends", "both"]))
    ),
    max_size=12,
)
"""What each look finds: connections that carried some packets and live, ended, or ended while one looked."""


@given(looks)
def test_the_sum_of_all_differences_is_what_was_counted(
    taken: list[dict[bytes, tuple[tuple[int, int], str]]],
) -> None:
    differences, totals = Differences(), Counter[bytes]()
    returned, expected = Counter[str](), Counter[str]()

    def see(identity: bytes, *, ended: bool) -> None:
        packets = totals[identity]
        counted = replace(FLOW, sent=Counted(packets, packets * 100), ended=1 if ended else None)
        found = differences.of(identity, counted)
        returned.update(packets=found.sent.packets, bytes=found.sent.bytes)

    for each in taken:
        for identity in totals.keys() - each.keys():  # a connection that is not in a dump has ended
            see(identity, ended=True)
            del totals[identity]
        for identity, ((before, while_looking), fate) in each.items():
            totals[identity] += before
            expected.update(packets=before, bytes=before * 100)
            if fate != "ends":
                see(identity, ended=False)
            if fate != "lives":
                totals[identity] += while_looking
                expected.update(packets=while_looking, bytes=while_looking * 100)
                see(identity, ended=True)
                del totals[identity]
        differences.end_look()
    assert +returned == +expected


def test_a_connection_that_is_not_in_one_dump_is_not_counted_twice() -> None:
    differences = Differences()
    whole = replace(FLOW, sent=Counted(10, 1000))
    assert differences.of(b"a", whole).sent == Counted(10, 1000)
    differences.end_look()
    differences.end_look()
    assert differences.of(b"a", replace(whole, sent=Counted(11, 1100))).sent == Counted(1, 100)
