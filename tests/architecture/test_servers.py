"""The HTTP libraries are used by their internals: in few modules, at one version known to fit."""

import inspect
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import uvicorn
from h2.connection import H2Connection
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "fogbank"
DEPENDENCIES = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
ADAPTERS = {
    "uvicorn": ["frontend/http/connections.py", "frontend/http/http1.py"],
    "h2": [
        "control/grpc_health.py",
        "frontend/http/http2.py",
        "frontend/http/http2_streams.py",
        "frontend/ingress/http2_upstream.py",
        "services/compute/controller/edge/probes.py",
    ],
}


@pytest.mark.parametrize("server", ADAPTERS)
def test_a_servers_version_is_exact_and_is_the_one_that_runs(server: str) -> None:
    assert f"{server}=={version(server)}" in DEPENDENCIES


@pytest.mark.parametrize("server", ADAPTERS)
def test_its_adapters_alone_import_a_server(server: str) -> None:
    imports = re.compile(rf"^\s*(from|import) {server}\b", re.MULTILINE)
    found = [
        str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if imports.search(path.read_text())
    ]
    assert sorted(found) == ADAPTERS[server]


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


def test_uvicorn_calls_what_the_limits_hang_on() -> None:
    for name in ("on_message_begin", "on_header", "on_headers_complete", "on_body", "on_message_complete"):
        assert callable(getattr(HttpToolsProtocol, name))
    assert callable(HttpToolsProtocol.send_400_response)
    assert callable(HttpToolsProtocol._unsupported_upgrade_warning)


def test_h2_lets_its_settings_be_replaced_before_it_speaks() -> None:
    assert "local_settings" in vars(H2Connection())
