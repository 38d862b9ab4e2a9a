"""Clients are served as in the product: on uvloop."""

import uvloop
from tests.private_world import pytest_pyfunc_call  # noqa: F401
from tests.stand_in_host import machine  # noqa: F401


def pytest_asyncio_loop_factories():
    return {"uvloop": uvloop.new_event_loop}
