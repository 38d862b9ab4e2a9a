"""Which regions run: notes, knocks, and what is said when nobody answers."""

import json
import os

import pytest
from tests.unit.cli.conftest import write_note

from fogbank.cli.exits import Exit
from fogbank.cli.operator import OperatorClient
from fogbank.cli.regions import find_running, state_folders
from fogbank.errors import OperatorError


def test_no_region_ends_with_3_and_says_how_to_start_one(fogbank):
    done = fogbank("status")
    assert done.status == Exit.NOT_RUNNING
    assert "Start it: fogbank up --detach" in done.err


def test_another_name_that_runs_is_named(new_talker, fogbank):
    new_talker("ci-1")
    done = fogbank("status")
    assert done.status == Exit.NOT_RUNNING
    assert "ci-1" in done.err


def test_a_note_without_an_answer_is_stale(home):
    write_note(state_folders("default"))
    assert find_running("default") is None


def test_a_damaged_note_says_what_to_remove(home, fogbank):
    folders = state_folders("default")
    folders.root.mkdir(parents=True)
    folders.running.write_text("{")
    done = fogbank("status")
    assert done.status == Exit.FAILURE
    assert f"rm {folders.running}" in done.err


def test_an_ephemeral_region_is_found_by_its_name_and_apart_from_a_lasting_one(new_talker):
    lasting = new_talker("a")
    fleeting = new_talker("b")
    for name, talker in (("a", lasting), ("b", fleeting)):
        found = find_running(name)
        assert found is not None
        assert found.folders.root == talker.folders.root
    assert state_folders("a", ephemeral=True).root != state_folders("a").root


@pytest.mark.parametrize("name", ["../x", "", "A", "a/b", ".x", "a" * 64])
def test_a_name_that_is_not_one_is_refused(name):
    with pytest.raises(OperatorError, match="cannot be a region's name"):
        state_folders(name)


def test_list_shows_what_runs(new_talker, fogbank):
    new_talker("ci-1", port=1001)
    new_talker("ci-2", port=1002)
    listed = json.loads(fogbank("list", "--format", "json").out)
    assert [(region["name"], region["port"]) for region in listed] == [("ci-1", 1001), ("ci-2", 1002)]
    assert all(key.isalnum() for region in listed for key in region)
    assert "ci-2" in fogbank("list").out


def test_a_socket_deeper_than_a_socket_address_is_reached(tmp_path, monkeypatch, new_talker, fogbank):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / ("d" * 120)))
    talker = new_talker()
    talker.answers["GET /clock"] = (200, {"now": "2026-01-01T00:00:00Z"})
    assert "2026" in fogbank("clock", "show").out


def test_the_regions_refusal_is_the_message(talker, fogbank):
    talker.answers["POST /internet/sites"] = (400, {"error": "'x' is not a host name."})
    done = fogbank("internet", "add", "x")
    assert done.status == Exit.FAILURE
    assert done.err == "error: 'x' is not a host name.\n"


def test_an_answer_that_is_no_json_is_shown(talker):
    with pytest.raises(OperatorError, match="no such request"):
        OperatorClient(talker.folders.socket, "default").get("/nothing")


@pytest.mark.parametrize(
    "content",
    [b"{", b"[1]", b"\xff\xfe", b"[" * 100_000, b'{"pid": 1, "port": 1e999}', b'{"pid": [], "port": 1}'],
)
def test_what_cannot_be_read_of_one_region_is_not_in_the_way_of_others(new_talker, fogbank, content):
    new_talker("ci-1", port=1001)
    damaged = state_folders("damaged")
    damaged.root.mkdir(parents=True)
    damaged.running.write_bytes(content)
    done = fogbank("list", "--format", "json")
    assert (done.status, [each["name"] for each in json.loads(done.out)]) == (Exit.OK, ["ci-1"])
    assert f"rm {damaged.running}" in done.err
    with pytest.raises(OperatorError, match="damaged"):
        find_running("damaged")


def test_a_pipe_for_a_note_is_not_waited_for(home):
    folders = state_folders("default")
    folders.root.mkdir(parents=True)
    os.mkfifo(folders.running)
    with pytest.raises(OperatorError, match="it is a pipe"):
        find_running("default")


def test_a_folder_that_somebody_copied_is_no_region(new_talker, fogbank):
    folders = new_talker("ci-1", port=1001).folders
    copy = folders.root.with_name("ci-1.bak")
    copy.mkdir()
    (copy / "running.json").write_bytes(folders.running.read_bytes())
    done = fogbank("list", "--format", "json")
    assert [each["name"] for each in json.loads(done.out)] == ["ci-1"]
