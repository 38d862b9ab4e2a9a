"""The log of what third parties saw."""

import asyncio
from datetime import UTC, datetime
from ipaddress import IPv4Address

import pytest

from fogbank.servers.access_log import AccessLog, AccessLogEntry

NOW = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)


def entry(host: str = "ifconfig.me", path: str = "/") -> AccessLogEntry:
    return AccessLogEntry(NOW, IPv4Address("203.0.113.5"), 1024, host, "GET", path, 200)


@pytest.fixture
def log(tmp_path):
    made = AccessLog(tmp_path / "access.jsonl")
    yield made
    made.close()


def test_an_entry_has_exactly_the_promised_fields(log):
    log.append(entry())
    assert list(log.entries()) == [
        {
            "time": "2026-01-01T12:30:00.000000Z",
            "sourceIp": "203.0.113.5",
            "sourcePort": 1024,
            "host": "ifconfig.me",
            "method": "GET",
            "path": "/",
            "status": 200,
        }
    ]


async def test_one_hosts_entries_are_found_among_others(log):
    log.append(entry())
    log.append(entry("partner.example.com"))
    assert [shown["host"] async for shown in log.tail("partner.example.com")] == ["partner.example.com"]
    assert len([shown async for shown in log.tail()]) == 2


def test_it_survives_a_restart_and_a_line_that_was_cut_short(tmp_path):
    path = tmp_path / "access.jsonl"
    first = AccessLog(path)
    first.append(entry())
    first.close()
    with path.open("ab") as file:
        file.write(b'{"time": "2026')
    second = AccessLog(path)
    second.append(entry(path="/again"))
    assert [shown["path"] for shown in second.entries()] == ["/", "/again"]
    second.close()


def test_it_stays_within_its_bound_and_keeps_the_latest(tmp_path):
    log = AccessLog(tmp_path / "access.jsonl", largest=2000)
    for number in range(100):
        log.append(entry(path=f"/{number}"))
    paths = [shown["path"] for shown in log.entries()]
    assert paths == [f"/{number}" for number in range(100 - len(paths), 100)]
    assert len(paths) >= 10
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 4000
    log.close()


def test_it_is_for_its_owner_only(log, tmp_path):
    assert (tmp_path / "access.jsonl").stat().st_mode & 0o077 == 0


async def test_a_tail_ends_with_the_latest_and_a_follower_hears_more(log):
    log.append(entry(path="/before"))
    assert [shown["path"] async for shown in log.tail("ifconfig.me")] == ["/before"]
    following = log.tail("ifconfig.me", follow=True)
    assert (await anext(following))["path"] == "/before"
    waiting = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0)
    log.append(entry("other.example.com", "/other"))
    log.append(entry(path="/after"))
    assert (await waiting)["path"] == "/after"
    await following.aclose()
    assert len(log.followers) == 0
