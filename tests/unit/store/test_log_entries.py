"""The store of log entries: bounded in number, bytes and age; what was written is found after a restart."""

import asyncio
from datetime import timedelta

import pytest
from tests.serving import NOW

from fogbank.resources.log_entries import Search, time_of, time_text
from fogbank.store import log_entries
from fogbank.store.log_entries import LogEntries


def entry(number, seconds=0.0, text="x", log="projects/p/logs/a"):
    moment = time_text(time_of(NOW) + int(seconds * 1e9))
    return {
        "logName": log, "resource": {"type": "global", "labels": {}}, "timestamp": moment,
        "insertId": f"{number:06d}", "textPayload": text,
    }  # fmt: skip


def search(size=1000, **more):
    return Search(("p",), lambda _entry: True, size, **more)


async def ids(kept, **more):
    return [int(each["insertId"]) for each in (await kept.search(search(**more))).entries]


async def test_entries_outlive_the_region(tmp_path):
    kept = LogEntries(tmp_path / "logs.sqlite", lambda: NOW)
    kept.append("p", entry(1))
    await kept.close()
    again = LogEntries(tmp_path / "logs.sqlite", lambda: NOW)
    assert await ids(again) == [1]
    assert (tmp_path / "logs.sqlite").stat().st_mode & 0o777 == 0o600
    await again.close()


async def test_what_was_taken_in_is_found_at_once_and_is_written_soon(tmp_path, monkeypatch):
    monkeypatch.setattr(log_entries, "FLUSH_SECONDS", 0.0)
    kept = LogEntries(tmp_path / "logs.sqlite", lambda: NOW)
    kept.append("p", entry(1))
    kept.append("q", entry(2))
    assert await ids(kept) == [1]
    kept.append("p", entry(3))
    await asyncio.sleep(0.01)  # the loop hands it to the thread, behind which the next question waits
    await asyncio.wrap_future(kept._thread.submit(int))
    other = LogEntries(tmp_path / "logs.sqlite", lambda: NOW)
    assert await ids(other) == [1, 3]
    await kept.close()
    await other.close()


async def test_the_oldest_go_when_there_are_too_many(tmp_path, monkeypatch):
    monkeypatch.setattr(log_entries, "_PRUNE_EVERY", 0.0)
    kept = LogEntries(tmp_path / "logs.sqlite", lambda: NOW, most_entries=10)
    for number in range(25):
        kept.append("p", entry(number))
    await kept.flush()
    assert await ids(kept) == list(range(15, 25))
    await kept.close()


async def test_the_oldest_go_when_they_take_too_many_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(log_entries, "_PRUNE_EVERY", 0.0)
    kept = LogEntries(tmp_path / "logs.sqlite", lambda: NOW, most_bytes=20_000)
    for number in range(40):
        kept.append("p", entry(number, text="x" * 900))
    await kept.flush()
    left = await ids(kept)
    assert 10 <= len(left) <= 20
    assert left[-1] == 39
    await kept.close()


async def test_entries_are_forgotten_after_thirty_days_of_the_regions_clock(tmp_path, monkeypatch):
    monkeypatch.setattr(log_entries, "_PRUNE_EVERY", 0.0)
    now = [NOW]
    kept = LogEntries(tmp_path / "logs.sqlite", lambda: now[0])
    kept.append("p", entry(1))
    assert await ids(kept) == [1]
    now[0] += timedelta(days=30, seconds=1)
    assert await ids(kept) == []
    kept.append("p", entry(2, seconds=31 * 86_400))
    await kept.flush()
    now[0] = NOW
    assert await ids(kept) == [2]
    await kept.close()


async def test_a_long_search_says_where_the_next_one_goes_on(tmp_path, monkeypatch):
    kept = LogEntries(None, lambda: NOW)
    for number in range(1200):
        kept.append("p", entry(number))
    monkeypatch.setattr(log_entries, "SCAN_SECONDS", -1.0)
    nothing = Search(("p",), lambda _entry: False, 10)
    first = await kept.search(nothing)
    assert first.entries == ()
    assert first.goes_on == (time_of(NOW), "000499", "projects/p/logs/a")
    await kept.close()


@pytest.mark.parametrize("newest_first", [False, True])
async def test_pages_follow_one_another(tmp_path, newest_first):
    kept = LogEntries(None, lambda: NOW)
    for number in range(10):
        kept.append("p", entry(number, seconds=number // 4))
    seen, after = [], None
    while True:
        found = await kept.search(search(3, newest_first=newest_first, after=after))
        seen += [int(each["insertId"]) for each in found.entries]
        after = found.goes_on
        if after is None:
            break
    assert seen == sorted(range(10), reverse=newest_first)
    await kept.close()


async def test_a_disk_that_refuses_costs_entries_and_not_the_region(tmp_path, caplog):
    kept = LogEntries(tmp_path / "missing" / "logs.sqlite", lambda: NOW)
    kept.append("p", entry(1))
    await kept.flush()
    assert "log entries are lost until" in caplog.text
    (tmp_path / "missing").mkdir()
    kept.append("p", entry(2))
    await kept.flush()
    assert await ids(kept) == [2]
    await kept.close()


async def test_more_than_the_disk_can_follow_is_counted(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(log_entries, "LONGEST_BUFFER", 3)
    kept = LogEntries(None, lambda: NOW)
    for number in range(5):
        kept.append("p", entry(number))
    assert await ids(kept) == [2, 3, 4]
    assert "2 log entries were lost" in caplog.text
    await kept.close()


async def test_entries_that_cannot_be_written_are_reported_and_those_after_them_are_kept(tmp_path):
    kept = LogEntries(tmp_path / "logs.sqlite", lambda: NOW)
    kept.append("p", {**entry(1), "insertId": "\ud800"})
    with pytest.raises(UnicodeEncodeError):
        await kept.flush()
    kept.append("p", entry(2))
    assert await ids(kept) == [2]
    await kept.close()
