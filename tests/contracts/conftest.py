"""One suite for both drivers; the Linux one runs in a private world of each test's own."""

from tests.private_world import lab, pytest_pyfunc_call  # noqa: F401
