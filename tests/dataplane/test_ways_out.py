"""No known way leads out of a container: tests/attacks/ways_out.py holds them; here they are tried in one."""

import ast
import fcntl
import json
import os
import platform
from pathlib import Path

import pytest
from tests.attacks.containers import netcheck_with_ctypes, open_ways, try_all
from tests.dataplane.test_containers import PYTHON_OPTIONS, setup
from tests.ordinary_user import NUMBER, ordinary_user
from tests.private_world import Lab
from tests.waiting import wait_until

from fogbank.dataplane.linux.containers import bundle, runtime
from fogbank.dataplane.linux.containers.user_namespace import FIRST_ID, UserNamespace
from fogbank.dataplane.linux.images.unpacked import UnpackedImages

pytestmark = pytest.mark.netns

ALL_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> UnpackedImages:
    return netcheck_with_ctypes(tmp_path_factory.mktemp("store"))


@pytest.mark.parametrize("warm", [False, True], ids=["filter made by crun", "filter made before"])
def test_no_known_way_leads_out_of_a_container(
    lab: Lab, tmp_path: Path, images: UnpackedImages, warm
) -> None:
    with setup(tmp_path, images) as here:
        if warm:
            here.containers.warm()
        met = try_all(here)
        assert len(met) >= 60
        assert open_ways(met) == {}


@pytest.mark.slow(3)
def test_no_known_way_leads_out_of_a_container_of_an_ordinary_user() -> None:
    with ordinary_user() as user:
        done = user.python("-m", "tests.attacks.inside_a_container", str(user.home / "images"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["owner"] == NUMBER
    assert len(found["met"]) >= 60
    assert open_ways(found["met"]) == {}


def test_the_same_ways_are_open_without_the_filter_and_the_user_namespace(
    lab: Lab, tmp_path: Path, images: UnpackedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the ways are real: these are not closed by the lack of capabilities alone."""
    monkeypatch.setattr(runtime, "enter_images", lambda images, _: (UserNamespace(), images))
    monkeypatch.setattr(bundle, "profile", lambda: {"defaultAction": "SCMP_ACT_ALLOW"})
    with setup(tmp_path, images) as here:
        met = try_all(here)
        assert set(open_ways(met)) >= {
            "add a key",
            "read the user's keyring",
            "join another session keyring",
            "a new user namespace",
            "a child in a new user namespace",
            "io_uring",
            "trace a process",
            "read a process's memory",
            "a user id of the machine",
        }


def test_a_container_has_little_and_can_get_no_more(lab: Lab, tmp_path, images) -> None:
    with setup(tmp_path, images) as here:
        [text] = here.run(
            "import json, os, stat\n"
            "lines = open('/proc/self/status').read().splitlines()\n"
            "lines = dict(line.split(':\\t', 1) for line in lines)\n"
            "maps = [open(f'/proc/self/{name}_map').read().split() for name in ('uid', 'gid')]\n"
            "devices = sorted(os.listdir('/dev'))\n"
            "print(json.dumps([lines, maps, devices, stat.S_ISFIFO(os.fstat(0).st_mode)]))"
        )
        status, maps, devices, stdin_is_a_pipe = json.loads(text)
        assert stdin_is_a_pipe, "crun gives stdin to the container's user, whatever it is"
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert int(status["CapBnd"], 16) == int(status["CapEff"], 16) == 0x4FB
        if os.geteuid() == 0:
            assert maps == [["0", str(FIRST_ID), "65536"]] * 2
        known = {"core", "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout"}
        assert set(devices) <= known | {"tty", "urandom", "zero", "console", "mqueue"}


def test_each_container_has_a_session_keyring_of_its_own(lab: Lab, tmp_path, images, monkeypatch) -> None:
    monkeypatch.setattr(bundle, "profile", lambda: {"defaultAction": "SCMP_ACT_ALLOW"})
    number = 250 if platform.machine() == "x86_64" else 219
    keyring = f"import ctypes; print(ctypes.CDLL(None).syscall({number}, 0, -3, 0))"
    with setup(tmp_path, images) as here:
        first = here.run(keyring)
        here.events.clear()
        assert here.run(keyring) != first


def test_files_are_limited_by_the_containers_memory_in_bytes_and_in_number(
    lab: Lab, tmp_path, images
) -> None:
    writes = (
        "import errno, os\n"
        "def fill(step):\n"
        "    number = 0\n"
        "    try:\n"
        "        while number < 100_000: step(number); number += 1\n"
        "    except OSError as error: return errno.errorcode[error.errno], number\n"
        "big = open('/etc/big', 'wb', 0)\n"
        "print(fill(lambda number: big.write(bytes(1 << 20))))\n"
        "big.truncate(0)\n"
        "print(fill(lambda number: os.close(os.open(f'/tmp/{number}', os.O_CREAT))))"
    )
    with setup(tmp_path, images) as here:
        interpreter = images.get(here.digest).config.entrypoint[0]
        command = (interpreter, *PYTHON_OPTIONS, writes)
        here.containers.start(here.workload(command=command, memory_bytes=8 << 20))
        wait_until(here.exits)
        by_bytes, by_number = map(ast.literal_eval, here.lines())
        assert by_bytes[0] == by_number[0] == "ENOSPC"
        assert 6 <= by_bytes[1] <= 8
        assert 1000 <= by_number[1] <= 2048


def test_a_warm_runtime_starts_every_container_from_one_sealed_copy_of_crun(
    lab: Lab, tmp_path, images
) -> None:
    """So crun makes none of its own, and nobody in a container may write to what all are started from."""
    with setup(tmp_path, images) as here:
        here.containers.warm()
        for name in ("a", "b"):
            here.containers.start(
                here.program("import time; print('here', flush=True); time.sleep(60)", name)
            )
        wait_until(lambda: len(here.lines()) == 2)
        started = [
            Path(f"/proc/{pid}/exe")
            for task in Path("/proc/self/task").iterdir()
            for pid in (task / "children").read_text().split()
        ]
        assert len(started) == 2
        assert len({(each.stat().st_dev, each.stat().st_ino) for each in started}) == 1
        with started[0].open("rb") as program:
            assert fcntl.fcntl(program, fcntl.F_GET_SEALS) == ALL_SEALS


def test_a_fork_bomb_stays_inside(lab: Lab, tmp_path, images, monkeypatch) -> None:
    monkeypatch.setattr(bundle, "PROCESSES_LIMIT", 20)
    bomb = (
        "import errno, os, signal\n"
        "number = 0\n"
        "try:\n"
        "    while number < 200:\n"
        "        if os.fork() == 0: signal.pause()\n"
        "        number += 1\n"
        "except OSError as error: print(errno.errorcode[error.errno], number)"
    )
    with setup(tmp_path, images) as here:
        assert here.run(bomb) == ["EAGAIN 19"]


def test_a_program_may_listen_on_any_port(lab: Lab, tmp_path, images) -> None:
    """Its root has no power over the network namespace any more, so the namespace allows it to everybody."""
    with setup(tmp_path, images) as here:
        here.containers.start(here.workload(port=80))
        here.connect(80).close()


def test_an_images_files_keep_their_owners(lab: Lab, tmp_path, images) -> None:
    with setup(tmp_path, images) as here:
        shown = here.run(
            "import os\n"
            "os.chown('/etc/passwd', 7, 8)\n"
            "open('/etc/passwd', 'a').close()\n"
            "found = [os.stat(path) for path in ('/', '/etc/group', '/etc/hosts', '/etc/passwd')]\n"
            "print([(each.st_uid, each.st_gid) for each in found])"
        )
        assert shown == ["[(0, 0), (0, 0), (0, 0), (7, 8)]"]
        untouched = images.get(here.digest).root / "etc/passwd"
        assert (untouched.stat().st_uid, untouched.stat().st_gid) == (os.geteuid(), os.getegid())


def test_a_workload_may_run_as_a_user_with_a_high_number(lab: Lab, tmp_path, images) -> None:
    with setup(tmp_path, images) as here, pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "_user", lambda _: bundle.User(1_000_660_000, 0, (), "/"))
        assert here.run("import os; print(os.getuid())") == ["1000660000"]
