"""Servers are tested on the event loop that the region runs on."""

import uvloop


def pytest_asyncio_loop_factories(config, item):
    del config, item
    return {"uvloop": uvloop.new_event_loop}
