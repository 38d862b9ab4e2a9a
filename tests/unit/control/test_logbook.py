"""The logbook: what is read is what was asked for, also after a restart, a crash and on a full disk."""

import asyncio

import pytest
from inline_snapshot import snapshot

from fogbank.clock import Clock
from fogbank.control.logbook import Logbook, resolve_log_name
from fogbank.errors import OperatorError
from fogbank.store.lines import LineFile


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


KNOWN = {"run/a", "run/a/a-00001-xyz", "run/ab/ab-00001-xyz", "connector/c"}


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("", ""),
        ("a", "run/a"),
        ("run/a", "run/a"),
        ("run/a/", "run/a/"),
        ("ab", "run/ab"),
        ("c", "connector/c"),
        ("a-00001-xyz", "run/a/a-00001-xyz"),
        ("run", "run"),
    ],
)
def test_a_person_may_leave_out_what_is_plain(asked, meant):
    assert resolve_log_name(asked, KNOWN) == meant


def test_a_name_of_nothing_is_answered_with_what_there_is():
    with pytest.raises(OperatorError) as refused:
        resolve_log_name("b", KNOWN)
    assert str(refused.value) == snapshot("Nothing is known about b. There is: connector/c, run/a, run/ab.")
    with pytest.raises(OperatorError, match="deploy a service first"):
        resolve_log_name("b", ())


def test_a_name_of_two_things_is_answered_with_both():
    with pytest.raises(OperatorError, match=r"more than one thing: connector/a, run/a\."):
        resolve_log_name("a", KNOWN | {"connector/a"})


async def texts(logbook):
    return [line["text"] async for line in logbook.read()]


async def test_a_new_start_knows_the_lines_even_after_a_crash_in_the_middle_of_one(tmp_path):
    for text in ("one", "two", "three"):
        logbook = Logbook(tmp_path / "log.jsonl", Clock())
        logbook.append("run/a", "stdout", text)
        logbook.close()
        with (tmp_path / "log.jsonl").open("ab") as file:
            file.write(b'{"time": "2026')
    logbook = Logbook(tmp_path / "log.jsonl", Clock())
    assert await texts(logbook) == ["one", "two", "three"]
    logbook.close()


async def test_a_full_disk_leaves_the_lines_in_memory_and_is_told_once(tmp_path, monkeypatch, caplog):
    logbook = Logbook(tmp_path / "log.jsonl", Clock())

    def refuse(_file, _line):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LineFile, "append", refuse)
    logbook.append("run/a", "stdout", "heard")
    logbook.append("run/a", "stdout", "heard again")
    assert await texts(logbook) == ["heard", "heard again"]
    assert caplog.text.count("No space left") == 1
    logbook.close()


async def test_a_follower_hears_what_it_asked_for_and_leaves_nothing_behind(tmp_path):
    logbook = Logbook(tmp_path / "log.jsonl", Clock())
    logbook.append("run/a", "stdout", "before")
    following = logbook.read("run/a", follow=True)
    assert (await anext(following))["text"] == "before"
    waiting = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0)
    logbook.append("run/ab", "stdout", "of another")
    logbook.append("run/a", "stdout", "after")
    assert (await waiting)["text"] == "after"
    await following.aclose()
    assert len(logbook.followers) == 0
    logbook.close()
