"""Everything that all tests share: the region's fixtures and the laws' profiles."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings
from tests import scheduling

pytest_plugins = ["fogbank.testing"]

settings.register_profile("quick", max_examples=25, deadline=None)
settings.register_profile(
    "ci", max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "quick"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background by a script: what the tests start would not hear Ctrl-C either.
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    # Started by nohup: ssh ends the programs that it connects through by this signal.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_xdist_auto_num_workers() -> int:
    return scheduling.workers()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # one process alone keeps each module's tests together
        items[:] = scheduling.longest_first(items)
