"""The socket of a region's docker engine: there when the engine is, and starting it when somebody knocks."""

import asyncio
import socket
import threading

import pytest

from fogbank.app.docker import DockerSocket
from fogbank.errors import DriverError
from fogbank.settings import Folders


class Engine:
    """Answers each client with a letter, until told to end."""

    def __init__(self):
        self.fetched = False
        self.broken: Exception | None = None
        self.runs, self.ending, self.thread = 0, threading.Event(), threading.current_thread()

    def is_there(self):
        return self.fetched

    def run(self, listener, serve_proxy):
        self.runs += 1
        self.thread = threading.current_thread()
        if self.broken is not None:
            raise self.broken
        listener.setblocking(True)
        while not self.ending.is_set():
            with listener.accept()[0] as client:
                client.sendall(b"x")
        self.ending.clear()


@pytest.fixture
def engine():
    return Engine()


@pytest.fixture
async def opened(tmp_path, engine):
    made = DockerSocket(engine, Folders(tmp_path), lambda: None)  # type: ignore[arg-type, return-value]
    yield made
    made.close()


async def ask(tmp_path):
    """Connect, and read what comes until the end."""

    def read():
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(tmp_path / "docker.sock"))
            try:
                return client.recv(10)
            except ConnectionResetError:
                return b""

    return await asyncio.to_thread(read)


async def test_without_the_engine_clients_are_led_nowhere(opened, tmp_path):
    assert opened.environment() == {}
    assert not (tmp_path / "docker.sock").exists()


async def test_the_first_client_starts_the_engine_and_the_second_finds_it(opened, engine, tmp_path):
    engine.fetched = True
    variables = opened.environment()
    assert variables["DOCKER_HOST"] == f"unix://{tmp_path}/docker.sock"
    assert (tmp_path / "docker.sock").stat().st_mode & 0o777 == 0o600
    assert engine.runs == 0
    assert [await ask(tmp_path), await ask(tmp_path)] == [b"x", b"x"]
    assert engine.runs == 1


@pytest.mark.parametrize("error", [DriverError("it is broken"), RuntimeError("it is broken")])
async def test_a_client_of_an_engine_that_cannot_start_is_hung_up_on(opened, engine, tmp_path, caplog, error):
    engine.fetched, engine.broken = True, error
    assert opened.open()
    assert await ask(tmp_path) == b""
    assert "it is broken" in caplog.text
    engine.broken = None
    assert await ask(tmp_path) == b"x"  # whoever comes next starts another one


async def test_a_socket_that_was_closed_stays_closed_when_its_engine_ends(opened, engine, tmp_path):
    engine.fetched = True
    opened.open()
    assert await ask(tmp_path) == b"x"
    engine.ending.set()
    with socket.socket(socket.AF_UNIX) as last:  # the one that the engine waits for before it ends
        last.connect(str(tmp_path / "docker.sock"))
        opened.close()
        await asyncio.to_thread(engine.thread.join)
        await asyncio.sleep(0)  # what the thread has asked of the loop is done
    assert opened.environment() == {}
    assert engine.runs == 1
    assert not (tmp_path / "docker.sock").exists()


async def test_an_engine_that_ended_is_started_again(opened, engine, tmp_path):
    engine.fetched = True
    opened.open()
    assert await ask(tmp_path) == b"x"
    engine.ending.set()
    await ask(tmp_path)  # its last, when it was waiting for one
    async with asyncio.timeout(20):
        while engine.runs < 2 or await ask(tmp_path) != b"x":  # while it ends, some are hung up on
            await ask(tmp_path)
    assert engine.runs == 2
