"""The cookie of session affinity."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogbank.frontend.ingress.sessions import Session, read_session, session_cookie


@given(st.from_regex(r"[a-z][-a-z0-9]{0,80}", fullmatch=True))
def test_a_client_that_sends_the_cookie_back_prefers_its_instance(identifier):
    cookie = session_cookie(Session(identifier)).decode().partition(";")[0]
    assert read_session(f"a=b; {cookie}; c=d") == Session(identifier)


@pytest.mark.parametrize("header", ["", "a=b", "GAESA", "GAESA=", "GAESA=é", "GAESA=!!!", "GAESA=/w=="])
def test_nonsense_prefers_no_instance(header):
    assert read_session(header) == Session()
