"""The world and the host: what is inside stays inside, and nothing is left when it ends, however it ends."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stand_in_host import SCRATCH, StandInHost, bind, group_of

from fogbank.dataplane.linux import world
from fogbank.errors import OperatorError

pytestmark = pytest.mark.netns

PROGRAM = """
import os, subprocess, sys, time
from fogbank.dataplane.linux import world
entered = world.enter()
from fogbank.dataplane.linux.driver import LinuxDriver
from fogbank.network.topology import Topology
from fogbank.planning.plan import plan
from tests.dataplane.vpc import ALICE_IP, BOB_IP, nat, port_security, vpc
driver = LinuxDriver(serve=lambda *_: None, unserve=lambda *_: None)
guards = map(port_security, (ALICE_IP, BOB_IP))
outcomes = driver.apply(plan(Topology(), Topology.of([*vpc(), *guards, nat()])))
assert not [outcome for outcome in outcomes if outcome.error]
children = [subprocess.Popen(["sleep", "1000"]) for _ in range(2)]
subprocess.run(["sh", "-c", "sleep 1000 & sleep 1000 &"])
for folder in ("/run", "/tmp", "/var/tmp", "/dev", "/dev/shm"):
    open(f"{folder}/mine", "w").close()
entered.ready({"inside": len(os.listdir("/proc/self/fd")), "pid": os.getpid()})
while True:
    connection, _ = entered.proxy.accept()
    connection.sendall(b"hello from inside")
    connection.close()
"""


@contextlib.contextmanager
def running(folder: Path, *, detach: bool = True) -> Iterator[world.Launched]:
    listeners = world.open_listeners(0, folder / "operator.sock")
    launched = world.launch(
        [sys.executable, "-c", PROGRAM],
        listeners=listeners,
        log=folder / "log",
        detach=detach,
        environment={**os.environ, "PYTHONPATH": os.pathsep.join(["src", "."])},
    )
    try:
        yield launched
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(launched.pid, signal.SIGKILL)
        launched.wait()


def hear(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        return connection.recv(100)


def family(pid: int) -> list[int]:
    """List ``pid`` and everything below it, as the host numbers them."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                found += [int(word) for word in (task / "children").read_text().split()]
    return found


def gone(pids: list[int], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while any(alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def collected(pid: int, seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_host_is_reached_from_inside_only_by_the_doors_and_stays_as_it_was(
    machine: StandInHost, tmp_path: Path
) -> None:
    before = machine.state()
    with running(tmp_path) as launched:
        assert hear(launched.port) == b"hello from inside"
        assert launched.answer["pid"] == 2
        assert machine.state() == before
        pids = family(launched.pid)
        assert len(pids) >= 7
        assert {group_of(pid) for pid in pids} == {group_of(os.getpid())}
        launched.stop()
        assert gone(pids)
    assert machine.state() == before


@pytest.mark.parametrize("victim", range(3), ids=["outermost", "init", "program"])
def test_killing_any_one_process_ends_them_all(machine: StandInHost, tmp_path: Path, victim: int) -> None:
    before = machine.state()
    with running(tmp_path) as launched:
        pids = family(launched.pid)
        os.kill(pids[victim], signal.SIGKILL)
        assert gone(pids)
        launched.wait()
        with pytest.raises(ConnectionRefusedError):
            hear(launched.port)
    assert machine.state() == before


def test_a_world_that_is_not_detached_dies_with_its_starter(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from tests.dataplane.test_world import running\n"
        "with running(Path(sys.argv[1]), detach=False) as launched:\n"
        "    print(launched.pid, flush=True); time.sleep(1000)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["src", "."])},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout
    pids = family(int(starter.stdout.readline()))
    starter.stdout.close()
    starter.kill()
    starter.wait()
    assert gone(pids)


def test_orphans_inside_are_collected(tmp_path: Path) -> None:
    with running(tmp_path) as launched:
        pids = family(launched.pid)
        init = pids[1]
        orphans = children(init)[1:]
        assert len(orphans) == 2
        os.kill(orphans[0], signal.SIGKILL)
        assert gone(orphans[:1])
        assert collected(orphans[0]), "a zombie stayed"
        assert hear(launched.port) == b"hello from inside"


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


NOBODY = 65534
AS_NOBODY = """
import sys
from pathlib import Path
from tests.dataplane.test_world import children, gone, family, hear, running
with running(Path('mine')) as launched:
    print(hear(launched.port).decode())
    print(Path(f'/proc/{children(launched.pid)[0]}/uid_map').read_text())
    pids = family(launched.pid)
    launched.stop()
    assert gone(pids)
"""


def test_an_ordinary_user_gets_the_same_world(machine: StandInHost) -> None:
    """The subordinate ids of ``nobody`` stand in the stand-in's /etc only."""
    for table in ("/etc/subuid", "/etc/subgid"):
        Path(table).write_text("nobody:200000:65536\n")
    folder = SCRATCH / "nobody"
    for part, source in (("src", "src"), ("tests", "tests"), ("python", sys.prefix)):
        (folder / part).mkdir(parents=True)
        bind(Path(source).absolute(), folder / part)
    (folder / "mine").mkdir()
    for each in (folder, folder / "mine"):
        os.chown(each, NOBODY, NOBODY)
    before = machine.state()
    done = subprocess.run(
        ["python/bin/python", "-c", AS_NOBODY],
        cwd=folder,
        env={**os.environ, "HOME": str(folder), "PYTHONPATH": "src:.", "PYTHONDONTWRITEBYTECODE": "1"},
        user=NOBODY,
        group=NOBODY,
        extra_groups=(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["hello", "from", "inside", "0", "65534", "1", "1", "200000", "65535"]
    assert machine.state() == before


def test_a_user_without_subordinate_ids_is_told_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    with pytest.raises(OperatorError, match=r"usermod --add-subuids .* nobody"):
        world.unshare_command()


def test_a_taken_port_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OperatorError, match=rf"port {port} .*--port 0"):
            world.open_listeners(port, tmp_path / "operator.sock")


def test_the_operator_socket_is_private_and_not_taken_twice(tmp_path: Path) -> None:
    path = tmp_path / "operator.sock"
    with contextlib.closing(world.open_listeners(0, path)):
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(OperatorError, match="fogbank down"):
            world.open_listeners(0, path)
    with contextlib.closing(world.open_listeners(0, path)) as again:
        assert again.port > 0, "a socket that nobody serves any more is replaced"


def test_a_program_that_fails_at_once_is_quoted(tmp_path: Path) -> None:
    listeners = world.open_listeners(0, tmp_path / "operator.sock")
    with pytest.raises(OperatorError, match="no such luck"):
        world.launch(
            [sys.executable, "-c", "raise SystemExit('no such luck')"],
            listeners=listeners,
            log=tmp_path / "log",
            detach=True,
        )
