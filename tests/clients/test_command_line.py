"""The command line against real regions: starting, refusing, being killed, and the demo by every client."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from fogbank.cli.exits import Exit

pytestmark = [pytest.mark.netns, pytest.mark.slow(5)]
Run = Callable[..., subprocess.CompletedProcess[str]]
READY_SECONDS = 30.0


def fogbank_in(home: Path, environment: Mapping[str, str]) -> Run:
    def fogbank(*words: str, path: str = environment["PATH"]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "fogbank.cli", *words],
            env={**environment, "XDG_STATE_HOME": str(home), "PATH": path},
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip

    return fogbank


@pytest.fixture
def fogbank(tmp_path: Path) -> Iterator[Run]:
    # Deeper than the address of a socket can say: people's folders are.
    run = fogbank_in(tmp_path / ("deep" * 20), os.environ)
    yield run
    for region in json.loads(run("list", "--format", "json").stdout):
        run("down", "--name", region["name"])


def process_is_gone(pid: int) -> bool:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


def test_two_regions_run_side_by_side_and_each_is_stopped_alone(fogbank):
    for name in ("one", "two"):
        done = fogbank("up", "--detach", "--name", name, "--port", "0", "--project", f"project-{name}")
        assert done.returncode == 0, done.stderr
    listed = json.loads(fogbank("list", "--format", "json").stdout)
    assert [(region["name"], region["project"]) for region in listed] == [
        ("one", "project-one"),
        ("two", "project-two"),
    ]
    assert listed[0]["port"] != listed[1]["port"]
    assert fogbank("down", "--name", "one").returncode == 0
    assert fogbank("status", "--name", "one").returncode == Exit.NOT_RUNNING
    assert fogbank("status", "--name", "two").returncode == 0


def test_up_while_up_and_a_taken_port_are_refused_with_the_remedy(fogbank):
    assert fogbank("up", "--detach", "--port", "0").returncode == 0
    again = fogbank("up", "--detach", "--port", "0")
    assert again.returncode == Exit.FAILURE
    assert "fogbank down" in again.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = fogbank("up", "--detach", "--name", "other", "--port", port)
    assert refused.returncode == Exit.FAILURE
    assert "--port" in refused.stderr


def test_a_killed_region_is_not_running_and_the_next_start_replaces_it(fogbank):
    assert fogbank("up", "--detach", "--port", "0").returncode == 0
    assert fogbank("internet", "add", "kept.example.com").returncode == 0
    pid = json.loads(fogbank("status", "--format", "json").stdout)["pid"]
    os.kill(pid, signal.SIGKILL)
    assert process_is_gone(pid)
    assert fogbank("status").returncode == Exit.NOT_RUNNING
    done = fogbank("up", "--detach", "--port", "0")
    assert done.returncode == 0, done.stderr
    assert "kept.example.com" in fogbank("internet", "list").stdout


def test_a_region_in_the_foreground_ends_with_ctrl_c_and_leaves_nothing(tmp_path):
    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path)}
    words = [sys.executable, "-m", "fogbank.cli", "up", "--port", "0", "--ephemeral"]
    with subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as up:
        assert up.stdout is not None
        assert "is ready after" in up.stdout.readline()
        up.send_signal(signal.SIGINT)
        assert up.wait(READY_SECONDS) == 0
    assert list(tmp_path.rglob("running.json")) == []
    assert list(tmp_path.rglob("world.sqlite")) == []


def test_env_points_curl_at_the_region(fogbank):
    assert fogbank("up", "--detach", "--port", "0").returncode == 0
    url = "https://compute.googleapis.com/compute/v1/projects/demo/global/networks"
    done = fogbank("exec", "--", "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", url)
    assert done.stdout == "401", done.stderr


@pytest.fixture(scope="module")
def path_without_gcloud(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH with every program of this machine but gcloud."""
    folder = tmp_path_factory.mktemp("bin")
    for place in os.environ["PATH"].split(":"):
        for program in Path(place).glob("*") if Path(place).is_dir() else ():
            link = folder / program.name
            if program.name != "gcloud" and not link.is_symlink():
                link.symlink_to(program)
    return str(folder)


def test_the_demo_with_gcloud_shows_the_reserved_address(fogbank):
    assert shutil.which("gcloud"), "the demo is tested with the real gcloud"
    done = fogbank("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The client is gcloud" in done.stdout
    assert "It is the address that was reserved." in done.stdout
    assert "prediction and packet agree" in done.stdout
    assert fogbank("list", "--format", "json").stdout.strip() == "[]"


def test_the_demo_without_gcloud_uses_googles_python_clients(fogbank, path_without_gcloud):
    done = fogbank("demo", path=path_without_gcloud)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The client is Google's Python clients" in done.stdout
    assert "It is the address that was reserved." in done.stdout


ORDINARY_USER = """
set -e
mount --bind "$IDS" /etc/subuid
mount --bind "$IDS" /etc/subgid
mount --bind "$ROOT" /srv
exec setpriv --reuid=nobody --regid=nogroup --clear-groups /srv/.venv/bin/python -m fogbank.cli demo
"""


def test_an_ordinary_user_runs_the_demo():
    """In a mount namespace of the test's own, nobody is given ids: the host's /etc is not touched."""
    home = Path(tempfile.mkdtemp(prefix="fogbank-"))
    try:
        ids = home / "ids"
        ids.write_text("nobody:200000:65536\n")
        shutil.chown(home, "nobody")
        folders = {name: str(home) for name in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "TMPDIR")}
        root = Path(__file__).parents[2]
        environment = os.environ | folders | {"IDS": str(ids), "ROOT": str(root), "PYTHONPATH": "/srv/src"}
        done = subprocess.run(
            ["unshare", "--mount", "/bin/sh", "-c", ORDINARY_USER],
            env=environment, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
    finally:
        shutil.rmtree(home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "It is the address that was reserved." in done.stdout
    assert "prediction and packet agree" in done.stdout


def test_the_wheel_works_alone(tmp_path, path_without_gcloud):
    """Only the wheel's own files and the declared dependencies: a data file that was forgotten shows here."""
    root = Path(__file__).parents[2]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, root], check=True, timeout=100)
    (wheel,) = tmp_path.glob("fogbank-*.whl")
    subprocess.run(
        [*pip, "install", "--no-deps", "--target", tmp_path / "lib", wheel], check=True, timeout=100
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "lib")}
    fogbank = fogbank_in(tmp_path, environment)
    where = subprocess.run(
        [sys.executable, "-c", "import fogbank; print(fogbank.__file__)"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(tmp_path))
    done = fogbank("demo", path=path_without_gcloud)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "It is the address that was reserved." in done.stdout


def is_connected(pid: int) -> bool:
    """Wait until a process has opened a socket: these open one alone, the operator's."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if any(str(each.readlink()).startswith("socket:") for each in Path(f"/proc/{pid}/fd").iterdir()):
                return True
        time.sleep(0.01)
    return False


def follow(home: Path, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "XDG_STATE_HOME": str(home)}
    command = [sys.executable, "-m", "fogbank.cli", *words, "-f"]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_following_ends_with_ctrl_c_and_says_when_the_region_goes_down(tmp_path):
    run = fogbank_in(tmp_path, os.environ)
    done = run("up", "--detach", "--name", "followed", "--port", "0")
    assert done.returncode == 0, done.stderr
    followers = [follow(tmp_path, *words, "--name", "followed") for words in (("logs",), ("internet", "log"))]
    abandoned = follow(tmp_path, "logs", "--name", "followed")
    for each in (*followers, abandoned):
        assert is_connected(each.pid)
    abandoned.send_signal(signal.SIGINT)
    _, complaint = abandoned.communicate(timeout=10)
    assert (abandoned.returncode, complaint.strip()) == (Exit.INTERRUPTED, "")
    run("down", "--name", "followed")
    for each in followers:
        _, complaint = each.communicate(timeout=10)
        assert (each.returncode, complaint) == (Exit.NOT_RUNNING, "error: Region 'followed' went down.\n")
