"""No region that no command can stop: on a full disk, and when `fogbank up` itself is killed."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.attacks.kill_points import FOGBANK, running

from fogbank.testing import RunningRegion, end_region, short_folder

pytestmark = [pytest.mark.slow(40), pytest.mark.netns, pytest.mark.timeout(300)]

ON_A_SMALL_DISK = """
mount -t tmpfs -o size="$1" small "$2" || exit 99
export XDG_STATE_HOME="$2"
up() { "$3" -m fogbank.cli up --detach --port 0 --name "$4"; }
down() { "$3" -m fogbank.cli down --name "$4"; }
if up "$@"; then down "$@" || exit 98; else exit 97; fi
"""


@pytest.fixture
def region() -> Iterator[RunningRegion]:
    """A region that keeps its state, not started yet."""
    region = RunningRegion(f"test-{secrets.token_hex(4)}", short_folder())
    yield region
    end_region(region)


def gone(name: str, seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while running(name):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def listing(region: RunningRegion) -> list[dict[str, object]]:
    done = subprocess.run(
        [*FOGBANK, "list", "--format", "json"],
        env=region._own_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("size", ["4k", "16k", "48k", "96k", "192k"])
def test_a_start_on_a_full_disk_says_so_and_leaves_nothing_that_runs(size: str, tmp_path: Path) -> None:
    name = f"test-{secrets.token_hex(4)}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh", size, str(tmp_path), sys.executable, name],
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert gone(name)
    assert done.returncode == 97, f"it started on {size}, or was not stopped: {done.stderr}"
    assert "No space left on device" in done.stderr or f"{tmp_path}/fogbank/{name} is full" in done.stderr


def test_whatever_point_up_is_killed_at_down_ends_what_it_began(region: RunningRegion) -> None:
    ended_by_down = 0
    for point in range(10):
        starting = subprocess.Popen(
            [*FOGBANK, "up", "--detach", "--name", region.name, "--port", "0"],
            env=region._own_environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(point * 0.15)
        starting.kill()
        starting.wait()
        listed = listing(region)
        ended_by_down += bool(listed)
        region.fogbank("down", check=False)
        assert gone(region.name), f"point {point}: {running(region.name)}"
    assert ended_by_down, "no point was late enough for a region to be there"


def test_a_region_whose_note_or_folder_is_lost_or_that_hangs_is_listed_and_ended(
    region: RunningRegion,
) -> None:
    note = region.home / "state/fogbank" / region.name / "running.json"
    region.fogbank("up", "--detach", "--port", "0")
    note.unlink()
    [listed] = listing(region)
    assert (listed["name"], listed["answers"]) == (region.name, True)
    region.fogbank("down")
    assert gone(region.name, 0)

    region.fogbank("up", "--detach", "--port", "0")
    (region.home / "state/fogbank").rename(region.home / "elsewhere")
    [listed] = listing(region)
    assert (listed["name"], listed["answers"]) == (region.name, False)
    region.fogbank("down")
    assert gone(region.name, 0)
    (region.home / "elsewhere").rename(region.home / "state/fogbank")

    region.fogbank("up", "--detach", "--port", "0")
    for pid in (int(line.partition(":")[0]) for line in running(region.name)):
        os.kill(pid, signal.SIGSTOP)
    region.fogbank("down")
    assert gone(region.name, 0)
