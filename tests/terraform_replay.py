"""Requests of Terraform's google provider, recorded and sent again.

Each file in ``tests/articles/recorded`` holds what provider google 7 sent for one configuration: apply, a
second plan, destroy. Reads of operations are left out, because here each write is awaited. ``$latest``
stands for the etag or fingerprint that the resource had last.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fogbank.testing import RunningRegion

MARKS = ("etag", "labelFingerprint", "fingerprint")
FOLDER = Path(__file__).parent / "articles" / "recorded"


def recorded(name: str) -> list[dict[str, Any]]:
    """Read the requests of a recording."""
    return [json.loads(line) for line in (FOLDER / name).read_text().splitlines()]


class Replay:
    """Sends recorded requests, and keeps what each read answered: in ``apply``, and last of all."""

    def __init__(self, region: RunningRegion, requests: Sequence[dict[str, Any]]) -> None:
        self.region, self.requests = region, requests
        self.read: dict[str, Any] = {}
        self.applied = self.phase("apply")

    def phase(self, name: str) -> dict[str, Any]:
        """Send the requests of a phase; give what its reads answered, by address."""
        read = {}
        for request in self.requests:
            if request["phase"] == name:
                answer = self.send(request["method"], request["url"], request.get("body"))
                if request["method"] == "GET":
                    read[request["url"]] = self.read[resource_of(request["url"])] = answer
        return read

    def send(self, method: str, url: str, body: Any) -> Any:
        status, answer = self.region.api(method, url, self._filled(body, self.read.get(resource_of(url), {})))
        assert status == 200, (method, url, answer)
        if method != "GET" and ":setIamPolicy" not in url:
            self._await(url, answer)
        return answer

    def _filled(self, value: Any, known: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: known[key] if key in MARKS and inner == "$latest" else self._filled(inner, known)
                for key, inner in value.items()
            }
        return [self._filled(each, known) for each in value] if isinstance(value, list) else value

    def _await(self, url: str, operation: Any) -> None:
        where = urlsplit(url)
        version = where.path.split("/")[1]
        polled = operation.get("selfLink") or f"https://{where.netloc}/{version}/{operation['name']}"
        deadline = time.monotonic() + 30
        while not (operation.get("done") or operation.get("status") == "DONE"):
            assert time.monotonic() < deadline, operation
            time.sleep(0.05)
            status, operation = self.region.api("GET", polled)
            assert status == 200, operation
        assert "error" not in operation, operation


def resource_of(url: str) -> str:
    """Name what a request is about, without a method of its own (``/setLabels``, ``:setIamPolicy``)."""
    policy = ":getIamPolicy" if "IamPolicy" in url else ""
    return (
        url.partition("?")[0].removesuffix("/setLabels").partition(":setIam")[0].removesuffix(policy) + policy
    )
