"""The logbook: what is read is what was asked for, also after a restart."""

import pytest

from fogbank.clock import Clock
from fogbank.control.logbook import Logbook


@pytest.fixture
def path(tmp_path):
    logbook = Logbook(tmp_path / "log.jsonl", Clock())
    logbook.append("run/a/a-00001-xyz", "stdout", "listening")
    logbook.append("run/ab/ab-00001-xyz", "stdout", "somebody else")
    logbook.append("run/a", "requests", "GET / 200 0.001s", "INFO", status=200)
    logbook.close()
    return tmp_path / "log.jsonl"


@pytest.mark.parametrize(
    ("asked", "texts"),
    [
        ("", ["listening", "somebody else", "GET / 200 0.001s"]),
        ("run/a", ["listening", "GET / 200 0.001s"]),
        ("run/a/", ["listening", "GET / 200 0.001s"]),
        ("run/a/a-00001-xyz", ["listening"]),
        ("run", ["listening", "somebody else", "GET / 200 0.001s"]),
        ("run/nothing", []),
    ],
)
async def test_a_service_is_read_with_its_instances_and_without_its_neighbours(path, asked, texts):
    logbook = Logbook(path, Clock())
    assert [line["text"] async for line in logbook.read(asked)] == texts
    logbook.close()
