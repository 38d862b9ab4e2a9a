"""Refusals of `up`, each with its remedy; what is left behind and what is not."""

import errno
import fcntl
import json
import os
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.unit.cli.conftest import write_note

from fogbank.cli import checks, needs, starting
from fogbank.cli.commands import up
from fogbank.cli.exits import Exit
from fogbank.cli.regions import state_folders
from fogbank.dataplane.linux import world
from fogbank.errors import OperatorError
from fogbank.settings import Settings


@dataclass
class Launched:
    pid: int = 4242
    answer: dict[str, object] = field(default_factory=dict)
    stopped: bool = False
    calls: list[tuple[list[str], Path | None, bool]] = field(default_factory=list)

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def launched(monkeypatch):
    """No world is made: only what happens around it is looked at."""
    fake = Launched()

    def launch(command, *, listeners, log, detach, held, started):
        fake.calls.append((command, log, detach))
        listeners.close()
        assert os.get_inheritable(held[0]) is False
        started(fake.pid)
        return fake

    monkeypatch.setattr(world, "launch", launch)
    return fake


def test_a_default_port_that_is_taken_is_replaced_and_a_chosen_one_is_not(
    launched, fogbank, home, monkeypatch
):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (option,) = [each for each in up.command.params if each.name == "port"]
        monkeypatch.setattr(option, "default", port)
        done = fogbank("up", "--detach")
        assert done.status == 0, done.err
        free = json.loads((home / "default" / "running.json").read_text())["port"]
        assert free not in {0, port}
        assert f"Port {port} is taken, so the proxy has a free one: {free}." in done.err
        monkeypatch.setenv("FOGBANK_PORT", str(port))
        assert "--port 0 for a free one" in fogbank("up", "--detach", "--name", "other").err


def test_up_hands_settings_over_and_leaves_a_note(launched, fogbank, home):
    done = fogbank("up", "--detach", "--port", "0", "--project", "proj")
    assert done.status == 0, done.err
    command, log, detach = launched.calls[0]
    handed = json.loads(command[-1])
    assert command[1:3] == ["-m", "fogbank.app"]
    assert (handed["project"], handed["root"], detach) == ("proj", str(home / "default"), True)
    note = json.loads((home / "default" / "running.json").read_text())
    assert note["pid"] == 4242
    assert note["port"] == handed["port"] > 0
    assert log == home / "default" / "fogbank.log"
    assert 'eval "$(fogbank env)"' in done.out
    assert (home / "default").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("option", "value", "remedy"),
    [
        ("--project", "Bad_Project", "lower-case letters"),
        ("--project-number", "0123456", "6 to 15 digits"),
        ("--region", "europe-west0", "europe-west1"),
    ],
)
def test_a_setting_that_no_client_could_use_is_refused_by_name_and_value(
    launched, fogbank, option, value, remedy
):
    done = fogbank("up", "--detach", "--port", "0", option, value)
    assert done.status == Exit.FAILURE
    assert option in done.err
    assert value in done.err
    assert remedy in done.err
    assert launched.calls == []


def test_a_log_that_has_grown_makes_room_for_a_new_one(launched, fogbank, home, monkeypatch):
    monkeypatch.setattr(starting, "LARGEST_BYTES", 10)
    (home / "default").mkdir(parents=True)
    log = home / "default" / "fogbank.log"
    log.write_text("short")
    assert fogbank("up", "--detach", "--port", "0").status == 0
    assert log.read_text() == "short"
    (home / "default" / "operator.sock").unlink()
    log.write_text("longer than ten bytes")
    assert fogbank("up", "--detach", "--port", "0").status == 0
    assert not log.exists()
    assert log.with_name("fogbank.log.1").read_text() == "longer than ten bytes"


def test_up_while_up_names_the_ways_on(talker, launched, fogbank):
    done = fogbank("up", "--detach", "--port", "0")
    assert done.status == Exit.FAILURE
    assert "already up on port 9443" in done.err
    assert "fogbank down" in done.err
    assert launched.calls == []


def test_a_taken_port_names_the_option(launched, fogbank):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = fogbank("up", "--detach", "--port", str(taken.getsockname()[1]))
    assert done.status == Exit.FAILURE
    assert "--port" in done.err


def test_a_missing_capability_names_the_remedy(launched, fogbank, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(checks, "_effective_capabilities", lambda: 0)
    done = fogbank("up", "--detach")
    assert done.status == Exit.FAILURE
    assert "CAP_SYS_ADMIN: missing" in done.err
    assert "--cap-add SYS_ADMIN" in done.err


def test_a_note_of_a_killed_region_is_replaced(launched, fogbank, home):
    write_note(state_folders("default"), pid=2**22 - 1)
    assert fogbank("up", "--detach", "--port", "0").status == 0
    assert json.loads((home / "default" / "running.json").read_text())["pid"] == 4242


def held_folder(name):
    """Hold a region's folder as its world does."""
    folder = state_folders(name).root
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def test_a_region_that_runs_but_does_not_answer_is_named(launched, fogbank, monkeypatch, home):
    monkeypatch.setattr(starting, "_DYING_SECONDS", 0.1)
    held = held_folder("default")
    done = fogbank("up", "--detach", "--port", "0")
    os.close(held)
    assert done.status == Exit.FAILURE
    assert "End it: fogbank down" in done.err
    assert launched.calls == []


def test_a_region_that_is_dying_is_waited_for(launched, fogbank, monkeypatch, home):
    held = held_folder("default")
    monkeypatch.setattr(time, "sleep", lambda _: os.close(held))
    assert fogbank("up", "--detach", "--port", "0").status == 0


def test_a_port_that_a_killed_region_still_holds_is_waited_for(launched, fogbank, monkeypatch, home):
    write_note(state_folders("default"), pid=2**22 - 1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(time, "sleep", lambda _: taken.close())
        assert fogbank("up", "--detach", "--port", str(taken.getsockname()[1])).status == 0


def test_the_note_is_there_before_the_region_is_ready(launched, fogbank, monkeypatch, home):
    """So a region that is ready has one, whatever happened to the process that started it."""

    def launch(*_, listeners, started, **__):
        listeners.close()
        started(77)
        assert json.loads((home / "default/running.json").read_text())["pid"] == 77
        raise OperatorError("it was not ready")

    monkeypatch.setattr(world, "launch", launch)
    assert "it was not ready" in fogbank("up", "--detach", "--port", "0").err
    assert not (home / "default/running.json").exists()


def test_a_start_that_cannot_write_its_note_says_why_and_leaves_none(launched, fogbank, monkeypatch, home):
    real = Path.write_text

    def full(path, *arguments, **options):
        if path.name.startswith("running"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", full)
    done = fogbank("up", "--detach", "--port", "0")
    assert done.status == Exit.FAILURE
    assert "No space left on device" in done.err
    assert "no region was started" in done.err
    assert [path.name for path in (home / "default").iterdir()] == []


def test_what_ended_does_not_take_the_note_of_its_successor_along(launched, home, monkeypatch):
    monkeypatch.setattr(starting, "_DYING_SECONDS", 0.1)
    region, _ = starting.start(Settings(port=0), detach=True)
    held = held_folder("default")
    starting.forget(region)
    assert region.folders.running.exists()
    os.close(held)
    starting.forget(region)
    assert not region.folders.running.exists()


def test_an_ephemeral_region_begins_with_nothing_and_leaves_nothing(launched, home):
    settings = Settings(name="x", port=0, ephemeral=True)
    region, _ = starting.start(settings, detach=True)
    leftover = region.folders.root / "sub"
    leftover.mkdir()
    starting.start(settings, detach=True)
    assert not leftover.exists()
    starting.forget(region)
    starting.forget(region)
    assert not region.folders.root.exists()


def test_what_a_killed_ephemeral_region_left_is_swept_and_one_that_starts_is_not(launched, home):
    killed, starting_up = (state_folders(name, ephemeral=True).root for name in ("killed", "starting"))
    killed.mkdir(parents=True)
    starting_up.mkdir()
    held = os.open(starting_up, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    starting.start(Settings(name="x", port=0, ephemeral=True), detach=True)
    os.close(held)
    assert not killed.exists()
    assert starting_up.exists()


def test_down_stops_and_says_where_the_state_is(talker, fogbank, monkeypatch):
    stopped = []
    monkeypatch.setattr(world, "stop", lambda pid, _grace: stopped.append(pid))
    talker.answers["POST /down"] = (200, {})
    done = fogbank("down")
    assert done.status == 0, done.err
    assert stopped == [os.getpid()]
    assert str(talker.folders.root) in done.out
    assert not talker.folders.running.exists()


def test_delete_state_forgets_everything(talker, fogbank, monkeypatch):
    monkeypatch.setattr(world, "stop", lambda *_: None)
    talker.answers["POST /down"] = (200, {})
    assert fogbank("down", "--delete-state").status == 0
    assert not talker.folders.root.exists()


def test_doctor_names_the_package_that_brings_a_missing_program(monkeypatch, fogbank):
    monkeypatch.setattr(needs, "find_program", lambda name: None if name == "crun" else f"/bin/{name}")
    done = fogbank("doctor")
    assert done.status == Exit.FAILURE
    assert "apt-get install -y --no-install-recommends crun" in done.out


def test_doctor_says_when_crun_has_no_filter_of_system_calls(monkeypatch, fogbank):
    assert "✓ system call filter" in fogbank("doctor").out
    monkeypatch.setattr(checks, "crun_features", lambda: frozenset({"+CAP"}))
    done = fogbank("doctor")
    assert done.status == Exit.FAILURE
    assert "missing in crun" in done.out
    assert "+SECCOMP" in done.out


def test_the_lines_of_doctor_are_aligned(fogbank):
    checked = json.loads(fogbank("doctor", "--format", "json").out)
    lines = [line for line in fogbank("doctor").out.splitlines() if line[0] in "✓✗-"]
    columns = {line.index(f" {each['found']}", 3) for line, each in zip(lines, checked, strict=True)}
    assert len(columns) == 1


def test_doctor_speaks_json(fogbank):
    listed = json.loads(fogbank("doctor", "--format", "json").out)
    assert {"what", "found", "good", "required", "remedy"} == set(listed[0])


def test_an_ordinary_user_is_told_about_subordinate_ids(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    monkeypatch.setattr(checks, "_lines", lambda _: [])
    lacking = [check.remedy for check in checks.essentials() if check.what == "subordinate ids"]
    assert "usermod --add-subuids" in lacking[0]


def test_a_dying_region_whose_socket_is_still_open_is_not_up(launched, fogbank, monkeypatch, home):
    """kill -9 of the outermost process: the kernel closes the others' sockets a moment later."""
    held = held_folder("default")
    write_note(state_folders("default"), pid=2**22 - 1)
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(state_folders("default").socket))
    door.listen()
    monkeypatch.setattr(starting, "_DOWN_SECONDS", 0.05)
    closed: list[str] = []

    def die(_):
        if not closed:
            door.close()
            os.close(held)
            closed.append("all")

    monkeypatch.setattr(time, "sleep", die)
    done = fogbank("up", "--detach", "--port", "0")
    assert done.status == 0, done.err


def test_what_is_no_folder_of_a_region_is_not_swept(launched, home, tmp_path):
    beside = state_folders("x", ephemeral=True).root.parent
    beside.mkdir(parents=True)
    (beside / "file").touch()
    (tmp_path / "elsewhere").mkdir()
    (beside / "link").symlink_to(tmp_path / "elsewhere")
    starting.start(Settings(name="x", port=0, ephemeral=True), detach=True)
    assert (beside / "file").exists()
    assert (tmp_path / "elsewhere").exists()


def test_a_project_of_service_agents_is_refused(home):
    with pytest.raises(OperatorError, match="service agents"):
        starting.start(Settings(project="serverless-robot-prod", port=0), detach=True)
