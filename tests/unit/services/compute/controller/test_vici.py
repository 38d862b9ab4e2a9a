"""Messages to and from charon, and what its log tells."""

from hypothesis import given
from hypothesis import strategies as st

from fogbank.services.compute.controller.vpn.associations import failure_told_by
from fogbank.services.compute.controller.vpn.vici import decode, encode

NAMES = st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1, max_size=9)
MESSAGES = st.recursive(
    st.dictionaries(NAMES, st.text(max_size=20) | st.lists(st.text(max_size=9), max_size=3), max_size=4),
    lambda inner: st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=9,
)


@given(MESSAGES)
def test_what_was_written_is_read_again(message):
    assert decode(encode(message)) == message


def test_a_refused_secret_and_refused_proposals_are_told_apart():
    refused = "07[IKE] <t1|3> received AUTHENTICATION_FAILED notify error"
    assert failure_told_by(refused) == ("t1", "AUTHORIZATION_ERROR")
    unlike = "07[IKE] <t1|3> received NO_PROPOSAL_CHOSEN notify error"
    assert failure_told_by(unlike) == ("t1", "NEGOTIATION_FAILURE")
    assert failure_told_by("07[IKE] <t1|3> sending DPD request") is None
