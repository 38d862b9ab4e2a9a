"""The world and the host: what is inside stays inside, and nothing is left when it ends, however it ends."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

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
elements = [*vpc(), port_security(ALICE_IP), port_security(BOB_IP), nat()]
outcomes = driver.apply(plan(Topology(), Topology.of(elements)))
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


TEMPORARY = ("/tmp", "/var/tmp", "/dev", "/dev/shm")
DEVICES = [Path("/dev", name) for name in ("null", "zero", "full", "random", "urandom", "tty")]


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


def host() -> dict[str, object]:
    """Everything of this machine that a world could have changed."""
    return {
        "interfaces": run("ip", "-o", "link"),
        "addresses": run("ip", "-o", "address"),
        "routes": run("ip", "route", "show", "table", "all"),
        "rules": run("nft", "list", "ruleset"),
        "named namespaces": run("ip", "netns"),
        "mounts": Path("/proc/self/mountinfo").read_text(),
        "forwarding": Path("/proc/sys/net/ipv4/ip_forward").read_text(),
        "etc": {str(path): stamp(path) for path in Path("/etc").rglob("*")},
        "run": sorted(path.name for path in Path("/run").iterdir()),
        "temporary": [str(path) for folder in TEMPORARY for path in Path(folder).glob("mine")],
        "devices": {str(path): (path.stat().st_mode, path.stat().st_uid) for path in DEVICES},
        "groups": sorted(str(path) for path in Path("/sys/fs/cgroup").glob("*/*") if path.is_dir()),
        "hostname": socket.gethostname(),
    }


def stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_mode


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


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


def gone(pids: list[int], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while any(alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_host_is_reached_from_inside_only_by_the_doors_and_stays_as_it_was(tmp_path: Path) -> None:
    before = host()
    with running(tmp_path) as launched:
        assert hear(launched.port) == b"hello from inside"
        assert launched.answer["pid"] == 2
        assert host() == before
        pids = family(launched.pid)
        assert len(pids) >= 7
        launched.stop()
        assert gone(pids)
    assert host() == before


@pytest.mark.parametrize("victim", range(3), ids=["outermost", "init", "program"])
def test_killing_any_one_process_ends_them_all(tmp_path: Path, victim: int) -> None:
    before = host()
    with running(tmp_path) as launched:
        pids = family(launched.pid)
        os.kill(pids[victim], signal.SIGKILL)
        assert gone(pids)
        launched.wait()
        with pytest.raises(ConnectionRefusedError):
            hear(launched.port)
    assert host() == before


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
        time.sleep(0.05)
        assert not Path(f"/proc/{orphans[0]}").exists(), "a zombie stayed"
        assert hear(launched.port) == b"hello from inside"


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


NOBODY = 65534
AS_NOBODY = """
set -e
echo nobody:200000:65536 > "$1/ids"
for table in /etc/subuid /etc/subgid; do mount --bind "$1/ids" $table; done
for part in src tests python; do mkdir "$1/$part"; done
mount --bind src "$1/src"; mount --bind tests "$1/tests"; mount --bind "$2" "$1/python"
cd "$1"
export HOME="$1" PYTHONPATH=src:. PYTHONDONTWRITEBYTECODE=1
exec setpriv --reuid 65534 --regid 65534 --clear-groups \
    python/bin/python -c "
import sys
from pathlib import Path
from tests.dataplane.test_world import children, gone, family, hear, running
with running(Path('mine')) as launched:
    print(hear(launched.port).decode())
    print(Path(f'/proc/{children(launched.pid)[0]}/uid_map').read_text())
    pids = family(launched.pid)
    launched.stop()
    assert gone(pids)
"
"""


def test_an_ordinary_user_gets_the_same_world() -> None:
    """The subordinate ids of ``nobody`` stand in a mount namespace of the test's, not in the host's /etc."""
    before = host()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "mine").mkdir()
        for each in (folder, folder / "mine"):
            os.chown(each, NOBODY, NOBODY)
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", AS_NOBODY, "sh", name, sys.prefix],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["hello", "from", "inside", "0", "65534", "1", "1", "200000", "65535"]
    assert host() == before


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
