"""Real packets: see tests/private_world.py for the ``lab`` fixture, which gives each test its own world."""

from tests.private_world import lab, pytest_pyfunc_call  # noqa: F401
from tests.stand_in_host import machine  # noqa: F401
