"""Three ways to do a step, best first: gcloud, Google's Python clients, plain HTTPS; all through the proxy.

A caller does one :class:`Step` and waits until Google would say it is done. Its ``name`` tells the person at
the terminal what is really being used.
"""

import importlib.util
import os
import subprocess
import time
from collections.abc import Mapping
from shutil import which
from typing import Any, Protocol

from fogbank.cli.demo.steps import DemoRequest, Step
from fogbank.errors import OperatorError

_PATIENCE = 120.0
_PAUSE = 0.2
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"

Json = Mapping[str, Any]


class DemoCaller(Protocol):
    """One way to do steps."""

    name: str

    def do(self, step: Step) -> None:
        """Do ``step`` and wait until it is done; OperatorError when it fails."""
        ...

    def read(self, step: Step) -> str:
        """Ask ``step``'s one question; gcloud's value of it."""
        ...


def best_caller(environment: Mapping[str, str], region: str) -> DemoCaller:
    """Choose what this machine has; ``environment`` points it at the region."""
    if program := which("gcloud"):
        return Gcloud(program, environment)
    os.environ.update(environment)
    if importlib.util.find_spec("googleapiclient") and importlib.util.find_spec("socks"):
        return ByRequest(PythonClients(region))
    from fogbank.cli.demo.plain import PlainHttps

    return ByRequest(PlainHttps(environment, region))


class Gcloud:
    """The real gcloud, as it is on PATH."""

    def __init__(self, program: str, environment: Mapping[str, str]) -> None:
        self._program, self._environment = program, environment
        self.name = f"gcloud ({program})"

    def do(self, step: Step) -> None:
        """Run the command as typed; it prints for itself."""
        done = subprocess.run([self._program, *step.command], env=self._environment, check=False)  # noqa: S603
        _require(done.returncode == 0, f"gcloud {' '.join(step.command)} ended with {done.returncode}.")

    def read(self, step: Step) -> str:
        """Run the command and give what it printed."""
        done = subprocess.run(  # noqa: S603
            [self._program, *step.command], env=self._environment, check=False, capture_output=True, text=True
        )
        _require(done.returncode == 0, done.stderr)
        return done.stdout.strip()


class Transport(Protocol):
    """Sends one request and gives the answer's JSON."""

    name: str

    def call(self, request: DemoRequest) -> Json:
        """Send ``request``; OperatorError holds Google's words when it is refused."""
        ...


class ByRequest:
    """Does a step by its API requests, and waits as gcloud would."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.name = transport.name

    def do(self, step: Step) -> None:
        """Send the step's requests one after another."""
        for request in step.requests:
            answer = self._transport.call(request)
            deadline = time.monotonic() + _PATIENCE
            while follow := unfinished(request, answer):
                _require(
                    time.monotonic() < deadline, f"{request.method} was not done after {_PATIENCE:.0f} s."
                )
                time.sleep(_PAUSE)
                answer = self._transport.call(follow)
            _require("error" not in answer, f"{request.method}: {answer.get('error')}")

    def read(self, step: Step) -> str:
        """Send the one request; give the value that gcloud's ``--format=value(…)`` names."""
        answer: Any = self._transport.call(step.requests[0])
        for key in step.command[-1].partition("(")[2].rstrip(")").split("."):
            name, _, index = key.rstrip("]").partition("[")
            answer = answer[name][int(index)] if index else answer[name]
        return str(answer)


def unfinished(request: DemoRequest, answer: Json) -> DemoRequest | None:
    """Return the request that asks again, or None when ``answer`` is final."""
    if answer.get("kind") == "compute#operation" and answer["status"] != "DONE":
        place = {
            key: each for key, each in request.parameters.items() if key in {"project", "region", "zone"}
        }
        scopes = (scope for scope in ("zone", "region") if scope in place)
        kind = f"{next(scopes, 'global')}Operations"
        return DemoRequest(f"compute.v1.{kind}.get", place | {"operation": answer["name"]})
    if "/operations/" in answer.get("name", "") and not answer.get("done"):
        api = ".".join(request.method.split(".")[:2])
        return DemoRequest(f"{api}.projects.locations.operations.get", {"name": answer["name"]})
    if answer.get("kind") == "Service" and "metadata" in answer:
        return _unready(answer)
    return None


def _unready(service: Json) -> DemoRequest | None:
    conditions = {c["type"]: c for c in service.get("status", {}).get("conditions", ())}
    ready = conditions.get("Ready", {})
    _require(ready.get("status") != "False", str(ready.get("message", "The service did not become ready.")))
    if ready.get("status") == "True":
        return None
    metadata = service["metadata"]
    name = f"namespaces/{metadata['namespace']}/services/{metadata['name']}"
    return DemoRequest("run.v1.namespaces.services.get", {"name": name})


class PythonClients:
    """Google's own google-api-python-client; the environment already points it at the region."""

    def __init__(self, region: str) -> None:
        from importlib.metadata import version

        self.name = (
            f"Google's Python clients (google-api-python-client {version('google-api-python-client')})"
        )
        self._region = region
        self._built: dict[tuple[str, str], Any] = {}

    def call(self, request: DemoRequest) -> Json:
        """Find the method in the client that Google generates from its description, and execute it."""
        from googleapiclient.errors import HttpError

        api, version, *path = request.method.split(".")
        member = self._client(api, version)
        for collection in path[:-1]:
            member = getattr(member, collection)()
        body = {"body": dict(request.body)} if request.body else {}
        try:
            answer: Json = getattr(member, path[-1])(**request.parameters, **body).execute()
        except HttpError as error:
            raise OperatorError(f"{request.method}: {error.reason}") from error
        return answer

    def _client(self, api: str, version: str) -> Any:
        from google.oauth2 import service_account
        from googleapiclient.discovery import build

        if (api, version) not in self._built:
            regional = f"https://{self._region}-run.googleapis.com" if api == "run" else None
            load: Any = service_account.Credentials.from_service_account_file
            credentials = load(os.environ["GOOGLE_APPLICATION_CREDENTIALS"], scopes=[_SCOPE])
            self._built[api, version] = build(
                api,
                version,
                credentials=credentials,
                client_options={"api_endpoint": regional} if regional else None,
                static_discovery=True,
            )
        return self._built[api, version]


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise OperatorError(otherwise)
