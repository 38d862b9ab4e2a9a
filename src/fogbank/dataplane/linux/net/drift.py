"""Drift: a thread that notices when somebody else changes the world.

The kernel reports every change of links, addresses and routes, ours too. So a report is only a reason to
look: what was built is compared with what is there, and only when something is missing does the control loop
hear of it. Rules are looked at every few seconds.
"""

import logging
import select
import socket
import threading
import time
from collections.abc import Callable

from fogbank.dataplane.driver import Drifted, Report

_log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""How often everything is looked at without a report."""

_GATHER_SECONDS = 0.05
"""Reports come in flocks: one look is enough for all of them."""


class DriftWatch:
    """Calls ``look`` when ``reports`` (an epoll) has any, and tells what it finds."""

    def __init__(self, reports: select.epoll, look: Callable[[], str | None], report: Report) -> None:
        self._look, self._report = look, report
        self._ending = threading.Event()
        self._wake_read, self._wake_write = socket.socketpair()
        self._poll = select.poll()  # not select(): descriptors go beyond 1,024
        for source in (reports, self._wake_read):
            self._poll.register(source, select.POLLIN)
        self._thread = threading.Thread(target=self._run, name="drift", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            ready = self._poll.poll(LOOK_SECONDS * 1000)
            if self._ending.is_set():
                return
            if ready:
                time.sleep(_GATHER_SECONDS)
            try:
                why = self._look()
            except Exception:  # noqa: BLE001 - the next look may work
                _log.exception("looking for drift failed")
                continue
            if why is not None:
                self._report(Drifted(why))

    def close(self) -> None:
        """End the thread."""
        self._ending.set()
        self._wake_write.send(b"x")
        self._thread.join()
        self._wake_read.close()
        self._wake_write.close()
