"""Refusals of `up`, each with its remedy; what is left behind and what is not."""

import fcntl
import json
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.unit.cli.conftest import write_note

from fogbank.cli import checks, needs, starting
from fogbank.cli.exits import Exit
from fogbank.cli.regions import state_folders
from fogbank.dataplane.linux import world
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

    def launch(command, *, listeners, log, detach):
        fake.calls.append((command, log, detach))
        listeners.close()
        return fake

    monkeypatch.setattr(world, "launch", launch)
    return fake


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


def test_a_region_that_runs_but_does_not_answer_is_named(launched, fogbank, monkeypatch, home):
    write_note(state_folders("default"), pid=os.getpid())
    monkeypatch.setattr(starting, "is_region", lambda _: True)
    done = fogbank("up", "--detach", "--port", "0")
    assert done.status == Exit.FAILURE
    assert f"kill -9 {os.getpid()}" in done.err


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


def test_doctor_speaks_json(fogbank):
    listed = json.loads(fogbank("doctor", "--format", "json").out)
    assert {"what", "found", "good", "required", "remedy"} == set(listed[0])


def test_an_ordinary_user_is_told_about_subordinate_ids(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    monkeypatch.setattr(checks, "_lines", lambda _: [])
    lacking = [check.remedy for check in checks.essentials() if check.what == "subordinate ids"]
    assert "usermod --add-subuids" in lacking[0]
