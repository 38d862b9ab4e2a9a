"""Containers under crun, in the network namespaces."""

import errno
import http.client
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tests.private_world import Lab
from tests.waiting import wait_until

from fogbank.dataplane.driver import Event, WorkloadExited, WorkloadWrote
from fogbank.dataplane.linux import kernel, world
from fogbank.dataplane.linux.containers import runtime as module
from fogbank.dataplane.linux.containers.runtime import CrunRuntime
from fogbank.dataplane.linux.containers.watcher import RunningContainer, Watcher
from fogbank.dataplane.linux.data_folders import DataFolders
from fogbank.dataplane.linux.images.builtin import open_store
from fogbank.dataplane.linux.images.unpacked import UnpackedImages
from fogbank.dataplane.linux.net.namespaces import NetworkNamespaces
from fogbank.errors import DriverError
from fogbank.network.elements import DataFolder
from fogbank.network.topology import NetnsName, Workload

pytestmark = pytest.mark.netns

NETCHECK = "us-docker.pkg.dev/fogbank/samples/netcheck"
SPACE = NetnsName("instance/production-00001-abc/0")
PYTHON_OPTIONS = ("-I", "-S", "-B", "-c")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> UnpackedImages:
    """A store with the built-in images, unpacked."""
    folder = tmp_path_factory.mktemp("store")
    registry, images = open_store(folder / "registry", folder / "cache")
    images.get(registry.resolve(NETCHECK))
    return images


class Room:
    """One namespace and the containers in it."""

    def __init__(self, folder: Path, images: UnpackedImages) -> None:
        trusted = folder / "bundle.pem"
        trusted.write_text("the region's certificates")
        self.events: list[Event] = []
        self.images = images
        self.digest = images.registry.resolve(NETCHECK)
        self.folder = world.CONTAINERS
        self.namespaces = NetworkNamespaces(pool_size=0)
        self.namespaces.create(SPACE, forwards=False)
        self.data = DataFolders(folder / "data", self.folder / "data")
        self.containers = CrunRuntime(
            self.folder,
            images,
            trusted,
            namespaces=self.namespaces,
            report=self.events.append,
            data=self.data,
        )

    def workload(self, name: str = "a", port: int = 8080, **fields) -> Workload:
        environment = (("PORT", str(port)), ("K_SERVICE", "production"))
        return Workload(name, SPACE, self.digest, port, environment=environment, **fields)

    def program(self, text: str, name: str = "a") -> Workload:
        """A workload that runs a Python program."""
        interpreter = self.images.get(self.digest).config.entrypoint[0]
        return self.workload(name, command=(interpreter, *PYTHON_OPTIONS, text))

    def connect(self, port: int = 8080, within: float = 60.0) -> socket.socket:
        deadline = time.monotonic() + within
        while True:
            connection = self.namespaces.open_socket(SPACE, socket.SOCK_STREAM)
            try:
                connection.connect(("127.0.0.1", port))
            except ConnectionRefusedError:
                connection.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.001)
            else:
                return connection

    def get(self, target: str, port: int = 8080) -> dict:
        client = http.client.HTTPConnection("127.0.0.1", port)
        client.sock = self.connect(port)
        client.request("GET", target)
        return json.loads(client.getresponse().read())

    def lines(self, stream: str = "stdout") -> list[str]:
        return [e.line for e in self.events if isinstance(e, WorkloadWrote) and e.stream == stream]

    def has_exited(self, name: str) -> bool:
        return name in [e.name for e in self.events if isinstance(e, WorkloadExited)]

    def exits(self) -> list[int]:
        """Return the status of those that ended by themselves."""
        return [e.status for e in self.events if isinstance(e, WorkloadExited) and not e.requested]

    def stopped(self) -> list[int]:
        """Return the status of those that ended because they were told to."""
        return [e.status for e in self.events if isinstance(e, WorkloadExited) and e.requested]

    def run(self, text: str) -> list[str]:
        """Run a program to its end; give what it printed."""
        self.containers.start(self.program(text))
        wait_until(self.exits)
        return self.lines()


@contextmanager
def setup(folder: Path, images: UnpackedImages) -> Iterator[Room]:
    made = Room(folder, images)
    try:
        yield made
    finally:
        made.containers.close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def seconds_to_listen(here: Room, name: str, port: int) -> float:
    """Start a container, wait until it listens, and stop it again."""
    started = time.monotonic()
    here.containers.start(here.workload(name, port))
    here.connect(port).close()
    listening = time.monotonic() - started
    here.containers.stop(name)
    wait_until(partial(here.has_exited, name))
    return listening


def test_netcheck_listens_within_300_ms_and_sees_its_own_world(lab: Lab, tmp_path, images):
    with setup(tmp_path, images) as here:
        # Five tries, for the machine may be busy with something else.
        seconds = (seconds_to_listen(here, f"try-{number}", 9000 + number) for number in range(5))
        assert any(each < 0.3 for each in seconds)
        here.containers.start(here.workload())
        told = here.get("/info")
        assert told["addresses"] == {"lo": "127.0.0.1"}
        assert told["hostname"] == "localhost"
        assert told["pid"] == 1
        assert told["resolver"] == ["169.254.169.254"]
        assert told["environment"].items() >= {"PORT": "8080", "K_SERVICE": "production"}.items()
        assert here.containers.running() == {"a": here.workload()}
        wait_until(lambda: "netcheck listens on port 8080" in here.lines())


def test_requests_wait_side_by_side_in_one_container(lab: Lab, tmp_path, images):
    with setup(tmp_path, images) as here:
        here.containers.start(here.workload())
        waiting = [here.connect() for _ in range(80)]
        started = time.monotonic()
        for connection in waiting:
            connection.sendall(b"GET /sleep?seconds=0.3 HTTP/1.1\r\nConnection: close\r\n\r\n")
        for connection in waiting:
            assert b'"slept": 0.3' in connection.makefile("rb").read()
        assert time.monotonic() - started < 2


def test_a_program_that_ends_is_reported_with_its_last_words(lab: Lab, tmp_path, images):
    with setup(tmp_path, images) as here:
        here.containers.start(
            here.program("import os; os.write(1, b'one\\ntwo'); os.write(2, b'oh\\n'); os._exit(3)")
        )
        wait_until(here.exits)
        assert (here.exits(), here.lines(), here.lines("stderr")) == ([3], ["one", "two"], ["oh"])
        assert here.containers.running() == {}


def test_a_program_that_a_signal_ended_is_reported_with_the_signal(lab: Lab, tmp_path, images):
    with setup(tmp_path, images) as here:
        here.run("import os; os.abort()")
        assert here.exits()[0] < 0


def test_a_program_that_is_not_in_the_image_ends_with_the_reason(lab: Lab, tmp_path, images):
    with setup(tmp_path, images) as here:
        here.containers.start(here.workload(command=("/no/such/program",)))
        wait_until(here.exits)
        assert here.exits()[0] != 0
        assert "/no/such/program" in "".join(here.lines("stderr"))


def test_stop_does_not_wait_frees_the_name_and_tells_when_the_end_came(lab: Lab, tmp_path, images):
    with setup(tmp_path, images) as here:
        here.containers.start(here.workload())
        here.connect().close()
        started = time.monotonic()
        here.containers.stop("a")
        assert time.monotonic() - started < 0.05
        assert here.containers.running() == {}
        here.containers.start(here.workload(port=8081))
        here.connect(8081).close()
        wait_until(lambda: "stopped" in here.lines())
        wait_until(lambda: len(list(here.folder.glob("c*"))) == 1)
        assert (here.exits(), here.stopped()) == ([], [0])


def test_nobody_is_sent_a_signal_for_a_container_that_ended_just_before_it_was_told_to(
    lab: Lab, tmp_path, images, monkeypatch
):
    with setup(tmp_path, images) as here:
        watcher = here.containers._watcher
        stopped = []
        monkeypatch.setattr(watcher, "stop", lambda running, _grace: stopped.append(running))
        here.containers.start(here.program("pass"))
        here.containers.stop("a")  # it is forgotten, but the watcher hears of it only after the end
        wait_until(here.stopped)
        sent = []
        monkeypatch.setattr(RunningContainer, "send", lambda _running, number: sent.append(number))
        Watcher.stop(watcher, stopped[0], grace=0)
        for name in ("b", "c"):  # the watcher makes its rounds
            here.containers.start(here.program("pass", name))
            wait_until(partial(here.has_exited, name))
        assert sent == []


def test_a_container_stopped_while_it_starts_leaves_nothing_behind(lab: Lab, tmp_path, images):
    with setup(tmp_path, images) as here:
        here.containers.start(here.workload())
        here.containers.stop("a")
        wait_until(lambda: not list(here.folder.glob("c*")))
        assert not list((here.folder / "state").iterdir())


def test_a_program_deaf_to_sigterm_is_killed(lab: Lab, tmp_path, images, monkeypatch):
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.2)
    with setup(tmp_path, images) as here:
        here.containers.start(here.program("import os, time; os.write(1, b'up\\n'); time.sleep(60)"))
        wait_until(here.lines)
        here.containers.stop("a")
        started = time.monotonic()
        wait_until(lambda: not list(here.folder.glob("c*")))
        assert 0.15 < time.monotonic() - started < 2


def test_nothing_of_the_host_is_to_be_seen(lab: Lab, tmp_path, images):
    with setup(tmp_path, images) as here:
        shown = here.run(
            "import os\n"
            "print(sorted(os.listdir('/')))\n"
            "print(os.listdir('/sys'), [p for p in os.listdir('/proc') if p.isdigit()])\n"
            "print(open('/etc/ssl/certs/ca-certificates.crt').read())\n"
            "try: open('/proc/sys/net/ipv4/ip_forward', 'w')\n"
            "except OSError as error: print(error.strerror)\n"
        )
        assert "home" not in shown[0]
        assert shown[1:] == ["[] ['1']", "the region's certificates", "Read-only file system"]


def test_libraries_with_certificates_of_their_own_trust_the_region(lab: Lab, tmp_path, images):
    with setup(tmp_path, images) as here:
        image = images.get(here.digest)
        images._ready[here.digest] = replace(image, trust_files=("/etc/nsswitch.conf",))
        try:
            shown = here.run(
                "print(open('/etc/nsswitch.conf').read())\n"
                "try: open('/etc/nsswitch.conf', 'w')\n"
                "except OSError as error: print(error.strerror)\n"
            )
        finally:
            images._ready[here.digest] = image
        assert shown == ["the region's certificates", "Read-only file system"]


def test_what_one_container_writes_no_other_sees(lab: Lab, tmp_path, images):
    with setup(tmp_path, images) as here:
        here.run("open('/tmp/note', 'w').write('x'); open('/etc/hosts', 'a').write('1.1.1.1 x')")
        here.events.clear()
        assert here.run("import os; print(os.listdir('/tmp'), open('/etc/hosts').read().count('x'))") == [
            "[] 0"
        ]


def test_every_user_may_enter_the_root_whatever_our_own_mask(lab: Lab, tmp_path, images):
    os.umask(0o077)
    with setup(tmp_path, images) as here:
        shown = here.run(
            "import os; print([oct(os.stat(p).st_mode & 0o777) for p in ('/', '/etc', '/etc/hosts')])"
        )
        assert shown == ["['0o755', '0o755', '0o644']"]


def test_a_container_that_floods_its_log_loses_no_line_and_does_not_drown_the_others(
    lab: Lab, tmp_path, images
):
    with setup(tmp_path, images) as here:
        here.containers.start(here.program("print('x\\n' * 100000, end='', flush=True)", "flood"))
        here.containers.start(here.program("print('here', flush=True)", "calm"))
        wait_until(lambda: "here" in here.lines())
        wait_until(lambda: len(here.exits()) == 2)
        assert here.lines().count("x") == 100000


def test_without_overlays_a_container_gets_a_copy(lab: Lab, tmp_path, images, monkeypatch):
    mount, refused = kernel.mount, []

    def refuse_overlays(source, target, kind, *more):
        if kind == "overlay":
            refused.append(target)
            raise OSError(errno.EINVAL, "no overlays here")
        mount(source, target, kind, *more)

    monkeypatch.setattr(kernel, "mount", refuse_overlays)
    with setup(tmp_path, images) as here:
        assert here.run("print(open('/etc/resolv.conf').readline())") == ["nameserver 169.254.169.254", ""]
        assert len(refused) == 1


def test_a_data_folder_outlives_its_container_and_no_other_container_sees_it(lab: Lab, tmp_path, images):
    kept = (DataFolder("redis-a", "/data"),)
    with setup(tmp_path, images) as here:
        here.containers.start(replace(here.program("open('/data/x', 'w').write('kept')"), data=kept))
        wait_until(here.exits)
        assert (here.exits(), here.lines()) == ([0], [])
        here.containers.start(replace(here.program("print(open('/data/x').read())", "b"), data=kept))
        wait_until(lambda: here.has_exited("b"))
        assert here.lines() == ["kept"]
        here.containers.start(here.program("import os; print(os.path.exists('/data/x'))", "c"))
        wait_until(lambda: here.has_exited("c"))
        assert here.lines() == ["kept", "False"]
        assert here.data.names() == {"redis-a"}
        here.data.remove("redis-a")
        here.data.remove("redis-a")
        assert here.data.names() == frozenset()


def test_what_cannot_start_is_a_drivers_error(lab: Lab, tmp_path, images):
    with setup(tmp_path, images) as here:
        elsewhere = Workload("b", NetnsName("nowhere"), here.digest, 8080)
        with pytest.raises(DriverError, match="nowhere"):
            here.containers.start(elsewhere)
        with pytest.raises(DriverError, match="not found"):
            here.containers.start(Workload("c", SPACE, "sha256:" + "0" * 64, 8080))
        here.containers.start(here.workload())
        with pytest.raises(DriverError, match="already"):
            here.containers.start(here.workload())
        here.containers.stop("unknown")


def test_close_ends_everything_and_gives_every_descriptor_back(lab: Lab, tmp_path, images):
    before = descriptors()
    with setup(tmp_path, images) as here:
        for number in range(5):
            here.containers.start(here.workload(f"w{number}", 8080 + number))
        here.connect(8084).close()
    here.namespaces.close()
    assert [folder.name for folder in here.folder.glob("c*")] == []
    assert descriptors() <= before
