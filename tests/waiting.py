"""Wait for what becomes true by itself."""

import time
from collections.abc import Callable

import pytest


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Return when ``condition`` holds; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail("it never came true")
        time.sleep(0.01)
