"""The job image: works for a while, fetches what it is given, and ends.

``SLEEP_MS`` is how long it works and ``FAIL_RATE`` (0 to 1) how often it fails, as in Google's sample job.
Arguments are URLs to fetch, http, https or file: what they answer is printed, and one that does not answer is
a failure.
"""

import os
import signal
import sys
import time

from fogbank.samples.http import fetch
from fogbank.samples.probes import lookup
from fogbank.samples.web import say

FETCH_SECONDS = 10.0


def main() -> None:
    """Run one task."""
    signal.signal(signal.SIGTERM, _end)
    index = os.environ.get("CLOUD_RUN_TASK_INDEX", "0")
    attempt = os.environ.get("CLOUD_RUN_TASK_ATTEMPT", "0")
    count = os.environ.get("CLOUD_RUN_TASK_COUNT", "1")
    say(f"Task {index} of {count}, attempt {attempt}: started")
    time.sleep(float(os.environ.get("SLEEP_MS") or 0) / 1000)
    answered = [_fetch(url) for url in sys.argv[1:]]
    if not all(answered) or os.urandom(1)[0] < 256 * float(os.environ.get("FAIL_RATE") or 0):
        say(f"Task {index}, attempt {attempt}: failed")
        sys.exit(1)
    say(f"Task {index}, attempt {attempt}: completed")


def _fetch(url: str) -> bool:
    if url.startswith("file://"):
        return _show(url.removeprefix("file://"))
    try:
        found = fetch(url, FETCH_SECONDS, lookup)
    except (OSError, ValueError) as error:
        say(f"{url}: {error}")
        return False
    say(f"{url}: {found['status']} {str(found['body']).strip()}")
    return found["status"] == 200


def _show(path: str) -> bool:
    try:
        with open(path) as file:  # noqa: PTH123 - pathlib takes longer to import than a task to start
            say(f"{path}: {file.read().strip()}")
    except OSError as error:
        say(f"{path}: {error}")
        return False
    return True


def _end(_signal: int, _frame: object) -> None:
    """End when the task is cancelled or takes too long: the first process of a container has to say so."""
    say("Received SIGTERM")
    sys.exit(143)
