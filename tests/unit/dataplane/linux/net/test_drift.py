"""The thread that looks for drift goes on looking, whatever it meets."""

import os
import select
import threading
from collections.abc import Callable

import pytest

from fogbank.dataplane.driver import Drifted, Event
from fogbank.dataplane.linux.net import drift
from fogbank.dataplane.linux.net.drift import DriftWatch


def test_a_look_that_fails_is_not_the_last(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(drift, "LOOK_SECONDS", 0.01)
    findings: list[Callable[[], str | None]] = [lambda: "a link is gone", _fail]
    heard, told = threading.Event(), list[Event]()

    def report(event: Event) -> None:
        told.append(event)
        heard.set()

    reports = select.epoll()
    descriptor = os.eventfd(0)
    reports.register(descriptor, select.EPOLLIN)
    watch = DriftWatch(reports, lambda: findings.pop()() if findings else None, report)
    try:
        assert heard.wait(2)
        assert told == [Drifted("a link is gone")]
        assert "Too many open files" in caplog.text
    finally:
        watch.close()
        reports.close()
        os.close(descriptor)


def _fail() -> str | None:
    raise OSError(24, "Too many open files")
