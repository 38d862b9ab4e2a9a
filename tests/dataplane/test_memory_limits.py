"""A container that uses more memory than it may is ended, by what its processes and files really hold."""

import signal
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dataplane.test_containers import (
    PYTHON_OPTIONS,
    Room,
    images,  # noqa: F401 - a fixture
    setup,
)
from tests.private_world import Lab
from tests.waiting import wait_until

from fogbank.dataplane.driver import WorkloadExited
from fogbank.dataplane.linux.containers.memory import GROWTH, LATEST, SOONEST, seconds_to_next_look

pytestmark = pytest.mark.netns

MIB = 1 << 20
LIMIT = 64 * MIB
WAIT = "import time; print('done', flush=True); time.sleep(60)"
TAKE = f"held = bytearray({100 * MIB}); held[::4096] = b'x' * len(held[::4096]); {WAIT}"
IN_CHILD = f"import os, time\nif os.fork() == 0:\n os.setsid()\n {TAKE}\ntime.sleep(60)"
SHARED = (
    f"import os\nheld = bytearray({40 * MIB})\nheld[::4096] = b'x' * len(held[::4096])\n"
    f"first = os.fork() and os.fork()\n{WAIT}"
)
IN_SHM = (
    f"held = bytearray({40 * MIB})\nheld[::4096] = b'x' * len(held[::4096])\n"
    f"open('/dev/shm/file', 'wb').write(bytes({40 * MIB}))\n{WAIT}"
)
FILES = (
    f"held = bytearray({40 * MIB})\nheld[::4096] = b'x' * len(held[::4096])\n"
    f"open('/tmp/file', 'wb').write(bytes({40 * MIB}))\n{WAIT}"
)


def start(here: Room, program: str, limit: int | None = LIMIT) -> None:
    interpreter = here.images.get(here.digest).config.entrypoint[0]
    here.containers.start(here.workload(command=(interpreter, *PYTHON_OPTIONS, program), memory_limit=limit))


def ends(here: Room) -> list[WorkloadExited]:
    return [each for each in here.events if isinstance(each, WorkloadExited)]


@pytest.mark.slow(1)
@pytest.mark.parametrize(
    "program",
    [
        pytest.param(TAKE, id="its first process"),
        pytest.param(IN_CHILD, id="a process of another session"),
        pytest.param(IN_SHM, id="shared memory and a process together"),
        pytest.param(FILES, id="files and a process together"),
    ],
)
def test_a_container_beyond_its_limit_is_ended(lab: Lab, tmp_path: Path, images, program) -> None:  # noqa: F811
    with setup(tmp_path, images) as here:
        start(here, program)
        wait_until(lambda: ends(here))
        [end] = ends(here)
        assert (end.status, end.requested) == (-signal.SIGKILL, False)
        assert end.exceeded is not None
        assert end.exceeded.limit == LIMIT < end.exceeded.used < 3 * LIMIT


@pytest.mark.slow(2)
@pytest.mark.parametrize(
    ("program", "limit"),
    [
        pytest.param(SHARED, LIMIT, id="what processes share counts once"),
        pytest.param(TAKE, None, id="no limit"),
        pytest.param(TAKE, 2 * LIMIT, id="below the limit"),
    ],
)
def test_a_container_within_its_limit_goes_on(lab: Lab, tmp_path: Path, images, program, limit) -> None:  # noqa: F811
    with setup(tmp_path, images) as here:
        start(here, program, limit)
        wait_until(lambda: "done" in here.lines())
        looked_at_again(here)
        assert ends(here) == []


def looked_at_again(here: Room) -> None:
    """Wait until another container beyond its limit, which was started later, has been ended for it."""
    interpreter = here.images.get(here.digest).config.entrypoint[0]
    command = (interpreter, *PYTHON_OPTIONS, TAKE)
    for name in ("b", "c"):
        here.containers.start(here.workload(name, command=command, memory_limit=LIMIT))
        wait_until(partial(here.has_exited, name))
    here.events[:] = [each for each in here.events if getattr(each, "name", "") not in {"b", "c"}]


@given(limit=st.integers(1, 1 << 40), used=st.integers(0, 1 << 41))
def test_the_next_look_is_before_the_rest_can_be_used_up_or_the_soonest(limit, used):
    seconds = seconds_to_next_look(limit, used)
    assert SOONEST <= seconds <= LATEST
    assert seconds == SOONEST or used + seconds * GROWTH <= limit * (1 + 1e-9)
