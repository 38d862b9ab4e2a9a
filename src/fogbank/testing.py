"""Pytest fixtures for whoever wants to test against a region: add ``pytest_plugins = ["fogbank.testing"]``.

``region`` is a running, ephemeral region for the whole session; ``new_region`` starts further ones. A
region gives the environment that clients need, runs programs under it, and answers what third parties saw.
"""

import http.client
import json
import os
import secrets
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from fogbank.frontend.client_environment import applied
from fogbank.frontend.iam import jwt

FETCH_SECONDS = 300.0
START_SECONDS = 60.0
COMMAND_SECONDS = 120.0


@dataclass
class RunningRegion:
    """A region that runs, and what one can do with it."""

    name: str
    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def fogbank(self, *arguments: str, check: bool = True, timeout: float = COMMAND_SECONDS) -> str:
        """Run the ``fogbank`` command for this region; give what it printed."""
        command = [sys.executable, "-m", "fogbank.cli", *arguments, "--name", self.name]
        return self._run(command, self._own_environment(), check=check, timeout=timeout).stdout

    def run(
        self, *command: str, check: bool = True, timeout: float = COMMAND_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run a client under the region's environment."""
        return self._run(list(command), self.environment, check=check, timeout=timeout)

    def gcloud(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run gcloud against the region."""
        return self.run(_program("gcloud"), *arguments, check=check)

    def gcloud_json(self, *arguments: str) -> Any:
        """Run gcloud and read its answer."""
        return json.loads(self.gcloud(*arguments, "--format=json").stdout)

    def curl(self, *arguments: str, check: bool = True) -> str:
        """Fetch through the region's proxy; give the body."""
        return self.run(_program("curl"), "-sS", *arguments, check=check).stdout

    def api(self, method: str, url: str, body: Any = None) -> tuple[int, Any]:
        """Make one API call with the region's service account; give the status and the JSON answer."""
        target = urlsplit(url)
        connection = self.connect(target.netloc)
        try:
            headers = {
                "Authorization": f"Bearer {self.token(target.netloc)}",
                "Content-Type": "application/json",
            }
            text = None if body is None else json.dumps(body)
            connection.request(method, url.removeprefix(f"https://{target.netloc}"), text, headers)
            answer = connection.getresponse()
            content = answer.read()
            return answer.status, json.loads(content) if content else None
        finally:
            connection.close()

    def connect(self, host: str) -> http.client.HTTPSConnection:
        """Open a connection to ``host`` through the region's proxy."""
        proxy = urlsplit(self.environment["HTTPS_PROXY"])
        trust = ssl.create_default_context(cafile=self.environment["SSL_CERT_FILE"])
        assert proxy.hostname
        connection = http.client.HTTPSConnection(proxy.hostname, proxy.port, timeout=30, context=trust)
        connection.set_tunnel(host, 443)
        return connection

    def token(self, host: str) -> str:
        """Sign a token with the service account's key, as Google's client libraries do."""
        key = json.loads(Path(self.environment["GOOGLE_APPLICATION_CREDENTIALS"]).read_text())
        now = int(time.time())
        claims = {"iss": key["client_email"], "sub": key["client_email"], "aud": f"https://{host}/"}
        lifetime = {"iat": now, "exp": now + 3600}
        return jwt.sign_with_pem(key["private_key"].encode(), key["private_key_id"], claims | lifetime)

    def site_access_log(self, host: str = "") -> list[dict[str, Any]]:
        """List what third parties saw, oldest first."""
        text = self.fogbank("internet", "log", *([host] if host else []), "--format", "json")
        found: list[dict[str, Any]] = json.loads(text)
        return found

    def _own_environment(self) -> dict[str, str]:
        return os.environ | {
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME") or str(shared_cache()),
            "NO_COLOR": "1",
        }

    @staticmethod
    def _run(
        command: list[str], environment: Mapping[str, str], *, check: bool, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, env=dict(environment), capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"{' '.join(command)}\nended with {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done


def start_region(home: Path, *options: str) -> RunningRegion:
    """Start a region whose state is below ``home``; it must be ended with ``fogbank down``."""
    region = RunningRegion(f"test-{secrets.token_hex(4)}", home)
    region.fogbank("up", "--detach", "--port", "0", *options, timeout=START_SECONDS)
    printed = json.loads(region.fogbank("env", "--format", "json"))
    region.environment = applied(printed, os.environ)
    return region


@pytest.fixture
def new_region() -> Iterator[Callable[..., RunningRegion]]:
    """Start regions with the options of ``fogbank up``; they end with the test."""
    started: list[RunningRegion] = []

    def start(*options: str) -> RunningRegion:
        region = start_region(short_folder(), *options)
        started.append(region)
        return region

    yield start
    for region in started:
        end_region(region)


@pytest.fixture(scope="session")
def region() -> Iterator[RunningRegion]:
    """Return one ephemeral region for all tests of the session."""
    running = start_region(short_folder(), "--ephemeral")
    yield running
    end_region(running)


def shared_cache() -> Path:
    """Name the folder where all test regions of this user find their unpacked images; not in the home."""
    return Path(tempfile.gettempdir()) / f"fogbank-cache-{os.geteuid()}"


def fetch_servers(*names: str, seconds: float = FETCH_SECONDS) -> None:
    """Have the servers of managed services (``redis``) in the cache of test regions; once, it asks Debian.

    ``seconds`` are what that may take.
    """
    cache = {"XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME") or str(shared_cache())}
    command = [sys.executable, "-m", "fogbank.cli", "images", "fetch", *names]
    subprocess.run(command, env=os.environ | cache, check=True, capture_output=True, timeout=seconds)


def short_folder() -> Path:
    """Make a folder for a region's state whose path leaves room for a socket's name (107 bytes in all)."""
    return Path(tempfile.mkdtemp(prefix="fogbank-"))


def end_region(region: RunningRegion) -> None:
    """End a region and remove its folder."""
    region.fogbank("down", check=False)
    shutil.rmtree(region.home)


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise AssertionError(f"{name} is not on PATH, and these tests run the real one")
    return found
