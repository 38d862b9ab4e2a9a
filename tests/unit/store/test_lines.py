"""Files of JSON lines outlive crashes and full disks; followers hear everything or are let go."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from fogbank.store import lines
from fogbank.store.lines import Followers, LineFile


def test_a_line_that_was_cut_short_is_skipped_however_often_the_file_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"n": 1}\n{"n": 2, "tex')
    for number in (3, 4):
        file = LineFile(path)
        file.append({"n": number})
        file.close()
    file = LineFile(path)
    assert [line["n"] for line in file.read()] == [1, 3, 4]
    file.close()


def test_a_full_disk_is_told_and_costs_only_the_lines_that_found_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = LineFile(tmp_path / "lines.jsonl")
    file.append({"n": 1})
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, text: write(descriptor, text[:4]))
    with pytest.raises(OSError, match="No space left") as refusal:
        file.append({"n": 2})
    assert refusal.value.errno == errno.ENOSPC
    monkeypatch.setattr(os, "write", write)
    file.append({"n": 3})
    assert [line["n"] for line in file.read()] == [1, 3]
    file.close()


def test_whoever_reads_slowly_gets_what_was_there_when_they_began(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "lines.jsonl", largest=200)
    for number in range(60):
        file.append({"n": number})
    kept = [line["n"] for line in file.read()]
    assert kept == list(range(kept[0], 60))
    assert kept[0] > 0, "something was let go already"
    reading = file.read()
    found = [next(reading)["n"]]
    for number in range(100, 150):  # both files are replaced meanwhile
        file.append({"n": number})
    assert [*found, *(line["n"] for line in reading)] == kept
    file.close()


def test_a_file_that_is_cut_short_while_it_is_read_ends_there(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "lines.jsonl")
    for number in range(5000):
        file.append({"n": number})
    reading = file.read()
    assert next(reading)["n"] == 0
    os.truncate(tmp_path / "lines.jsonl", 0)
    assert len(list(reading)) < 5000
    file.close()


async def test_who_reads_much_lets_others_have_their_turn() -> None:
    turns: list[int] = []
    read = 0

    async def other() -> None:
        while True:
            turns.append(read)
            await asyncio.sleep(0)

    working = asyncio.create_task(other())
    async for _ in lines.unhurried({"n": number} for number in range(5000)):
        read += 1
    working.cancel()
    assert len(set(turns)) >= 10


async def test_a_follower_that_never_reads_is_let_go_after_what_it_was_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lines, "LONGEST_QUEUE", 2)
    followers = Followers()
    following = followers.follow([{"n": 0}])
    assert (await anext(following))["n"] == 0
    for number in range(1, 6):
        followers.tell({"n": number})
    assert [line["n"] async for line in following] == [1, 2]
    assert len(followers) == 0
