"""A region that only talks: an operator socket with prepared answers, and the note that says where it is."""

import json
import os
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from fogbank.cli.entry import run
from fogbank.cli.regions import state_folders
from fogbank.settings import Folders
from fogbank.unix_sockets import address_of


@dataclass
class Talker:
    """``answers`` maps ``GET /status`` to a status and JSON (a list: lines); ``heard`` is what was asked."""

    folders: Folders
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    heard: list[tuple[str, Any]] = field(default_factory=list)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    talker: Talker


class Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        talker = self.server.talker
        talker.heard.append((f"{self.command} {self.path}", body))
        asked = f"{self.command} {self.path.partition('?')[0]}"
        status, answer = talker.answers.get(asked, (404, {"error": f"no such request: {asked}"}))
        lines = answer if isinstance(answer, list) else [answer]
        text = "".join(json.dumps(line) + "\n" for line in lines).encode()
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass

    def address_string(self) -> str:
        return "unix"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("FOGBANK_NAME", raising=False)
    return tmp_path / "fogbank"


def write_note(folders: Folders, **more: object) -> None:
    folders.root.mkdir(parents=True, exist_ok=True)
    note = {"name": folders.root.name, "pid": os.getpid(), "port": 9443, "project": "demo", **more}
    folders.running.write_text(json.dumps(note))


@pytest.fixture
def new_talker(home: Path) -> Iterator[Callable[..., Talker]]:
    servers: list[Server] = []

    def start(name: str = "default", **more: object) -> Talker:
        talker = Talker(state_folders(name))
        write_note(talker.folders, **more)
        with address_of(talker.folders.socket) as address:
            server = Server(address, Handler)
        server.talker = talker
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return talker

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def talker(new_talker: Callable[..., Talker]) -> Talker:
    return new_talker()


@dataclass
class Done:
    status: int
    out: str
    err: str


@pytest.fixture
def fogbank(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run the command line in this process."""

    def typed(*words: str) -> Done:
        with pytest.raises(SystemExit) as ended:
            run(list(words))
        printed = capsys.readouterr()
        return Done(int(ended.value.code or 0), printed.out, printed.err)

    return typed
