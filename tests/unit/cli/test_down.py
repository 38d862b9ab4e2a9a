"""`fogbank down` for regions that do not run: what is said, and what is deleted."""

import fcntl
import os

import pytest

from fogbank.cli.exits import Exit
from fogbank.cli.regions import state_folders


@pytest.fixture
def kept(home):
    """Make the folder that a region leaves when it stops."""
    root = state_folders("default").root
    root.mkdir(parents=True)
    (root / "state.sqlite").touch()
    return root


def test_the_state_of_a_stopped_region_can_be_deleted(kept, fogbank):
    done = fogbank("down", "--delete-state")
    assert done.status == 0, done.err
    assert not kept.exists()


def test_down_names_the_kept_state_of_a_region_that_does_not_run(kept, fogbank):
    done = fogbank("down")
    assert done.status == Exit.NOT_RUNNING
    assert f"{kept}; --delete-state deletes it" in done.err
    assert kept.exists()


def test_the_state_of_a_region_that_is_being_started_is_not_deleted(kept, fogbank):
    descriptor = os.open(kept, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        done = fogbank("down", "--delete-state")
    finally:
        os.close(descriptor)
    assert done.status == Exit.FAILURE
    assert kept.exists()


def test_who_stops_what_does_not_run_is_not_asked_to_start_it(new_talker, fogbank):
    new_talker("ci-1")
    done = fogbank("down", "--name", "ci-2")
    assert done.status == Exit.NOT_RUNNING
    assert "These run: ci-1" in done.err
    assert "Start it" not in done.err


def test_an_empty_folder_is_no_state(kept, fogbank):
    (kept / "state.sqlite").unlink()
    done = fogbank("down")
    assert done.status == Exit.NOT_RUNNING
    assert "--delete-state" not in done.err
