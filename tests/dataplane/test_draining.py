"""Draining: a client moves to another address, and what it has open stays where it is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.dataplane.vpc import ALICE, ALICE_IP, NAT_IP, OTHER_NAT_IP, SITE, SITE_IP, nat, port_security, vpc
from tests.private_world import TIMEOUT, Lab, Server

pytestmark = pytest.mark.netns


@contextmanager
def open_connection(lab: Lab) -> Iterator[tuple[Callable[..., bool], Server]]:
    """Return a function that tells whether one connection, opened through the first address, still works."""
    lab.build(*vpc(), port_security(ALICE_IP), nat())
    with lab.listen(SITE, SITE_IP, 80) as server, lab.connect(ALICE, SITE_IP, 80) as connection:

        def works(within: float = 5.0) -> bool:
            connection.settimeout(within)
            try:
                connection.sendall(b"still there?")
                return connection.recv(64) == b"still there?"
            except OSError:
                return False

        assert works()
        assert server.peers[-1][0] == str(NAT_IP)
        yield works, server


def test_what_is_open_on_a_drained_address_lives_on_and_the_next_flow_moves(lab: Lab) -> None:
    with open_connection(lab) as (works, server):
        lab.build(*vpc(), port_security(ALICE_IP), nat(outside=OTHER_NAT_IP, draining=(NAT_IP,)))
        assert works()
        with lab.connect(ALICE, SITE_IP, 80) as another:
            another.sendall(b"hello")
            assert another.recv(64) == b"hello"
        assert server.peers[-1][0] == str(OTHER_NAT_IP)


def test_taking_a_drained_address_away_ends_what_is_open_on_it(lab: Lab) -> None:
    with open_connection(lab) as (works, _):
        lab.build(*vpc(), port_security(ALICE_IP), nat(outside=OTHER_NAT_IP, draining=(NAT_IP,)))
        lab.build(*vpc(), port_security(ALICE_IP), nat(outside=OTHER_NAT_IP))
        assert not works(within=TIMEOUT)


def test_moving_without_draining_ends_what_is_open(lab: Lab) -> None:
    with open_connection(lab) as (works, _):
        lab.build(*vpc(), port_security(ALICE_IP), nat(outside=OTHER_NAT_IP))
        assert not works(within=TIMEOUT)


def test_moving_back_keeps_what_is_open(lab: Lab) -> None:
    with open_connection(lab) as (works, _):
        lab.build(*vpc(), port_security(ALICE_IP), nat(outside=OTHER_NAT_IP, draining=(NAT_IP,)))
        lab.build(*vpc(), port_security(ALICE_IP), nat())
        assert works()
