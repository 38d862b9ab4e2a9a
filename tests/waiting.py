"""Wait for what becomes true by itself."""

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")

PATIENCE_SECONDS = 60.0
"""Long enough for a machine that does something else: nothing that works waits so long."""


def wait_until(condition: Callable[[], T | None], seconds: float = PATIENCE_SECONDS) -> T:
    """Return what ``condition`` gives as soon as that counts as true; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        if found := condition():
            return found
        if time.monotonic() > deadline:
            pytest.fail("it never came true")
        time.sleep(0.01)
