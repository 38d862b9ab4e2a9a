"""The two HTTP servers are used by their internals: in one module each, at one version known to fit."""

import inspect
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import uvicorn
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "fogbank"
DEPENDENCIES = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
ADAPTERS = {"uvicorn": "frontend/http/connections.py", "hypercorn": "frontend/http/http2.py"}


@pytest.mark.parametrize("server", ADAPTERS)
def test_a_servers_version_is_exact_and_is_the_one_that_runs(server: str) -> None:
    assert f"{server}=={version(server)}" in DEPENDENCIES


@pytest.mark.parametrize("server", ADAPTERS)
def test_one_module_alone_imports_a_server(server: str) -> None:
    imports = re.compile(rf"^\s*(from|import) {server}\b", re.MULTILINE)
    found = [
        str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if imports.search(path.read_text())
    ]
    assert found == [ADAPTERS[server]]


def test_uvicorn_has_what_a_connection_is_given_to() -> None:
    assert list(inspect.signature(HttpToolsProtocol).parameters) == [
        "config",
        "server_state",
        "app_state",
        "_loop",
    ]
    state = ServerState()
    assert (state.connections, state.default_headers) == (set(), [])
    assert callable(HttpToolsProtocol.shutdown)
    assert callable(uvicorn.Config.load)


def test_hypercorn_has_what_a_connection_is_given_to() -> None:
    wanted = ["app", "loop", "config", "context", "state", "reader", "writer"]
    assert list(inspect.signature(TCPServer).parameters) == wanted
    assert list(inspect.signature(WorkerContext).parameters) == ["max_requests"]
    assert callable(TCPServer.__await__)
