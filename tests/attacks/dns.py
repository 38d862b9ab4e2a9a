"""DNS from inside a container: malformed messages, long ones, floods, idle streams."""

import contextlib
import random
import struct

from tests.attacks.table import Tally, attack
from tests.attacks.target import METADATA, PATIENCE, Target

QUESTION = b"\x08ifconfig\x02me\x00\x00\x01\x00\x01"


def message(
    counts: tuple[int, int, int, int] = (1, 0, 0, 0), flags: int = 0x0100, rest: bytes = QUESTION
) -> bytes:
    return struct.pack("!HH4H", 0x1234, flags, *counts) + rest


MESSAGES = {
    "nothing": b"",
    "half a head": b"\x12\x34\x01",
    "a head alone": message((0, 0, 0, 0), rest=b""),
    "two questions": message((2, 0, 0, 0), rest=QUESTION * 2),
    "a name that points at itself": message(rest=b"\xc0\x0c\x00\x01\x00\x01"),
    "a name that points ahead": message(rest=b"\xc0\x20\x00\x01\x00\x01"),
    "a label of 200": message(rest=b"\xbf" + b"a" * 63 + b"\0\0\1\0\1"),
    "a name without end": message(rest=b"\x3f" + b"a" * 63),
    "60,000 questions": message((60_000, 0, 0, 0), rest=QUESTION * 50),
    "records without end": message((1, 0, 0, 4000), rest=QUESTION + b"\0\0\1\0\1\0\0\0\0\0\0" * 90),
    "an update": message(flags=0x2800),
    "an unknown class": message(rest=b"\x01a\0\0\1\xff\xfe"),
    "an unknown type": message(rest=b"\x01a\0\xff\xfe\0\1"),
    "a transfer": message(rest=b"\x02me\0\0\xfc\0\1"),
    "a signature": message((1, 0, 0, 1), rest=QUESTION + b"\0\0\xfa\0\xff\0\0\0\0\0\0"),
    "two EDNS records": message((1, 0, 0, 2), rest=QUESTION + b"\0\0\x29\x04\xd0\0\0\0\0\0\0" * 2),
}


@attack("DNS")
def malformed_messages(target: Target, tally: Tally, door: str) -> None:
    """Send them as datagrams and over TCP; afterwards a good question has its answer."""
    for what, query in MESSAGES.items():
        with target.open(door) as connection, contextlib.suppress(OSError):
            connection.sendall(struct.pack("!H", len(query)) + query)
        with target.inside.socket(datagrams=True) as asker:
            asker.settimeout(PATIENCE)
            asker.connect((METADATA, 53))
            asker.send(query)
            asker.send(message(flags=0x0100).replace(b"\x12\x34", b"\x56\x78", 1))
            heard = b""
            while not heard.startswith(b"\x56\x78"):
                heard = asker.recv(4096)
        tally.expect(len(heard) > len(QUESTION) + 12, f"after {what}: {heard!r}")


@attack("DNS")
def noise(target: Target, tally: Tally, door: str) -> None:
    """Send 2,000 random datagrams; the seed is written down, so a failure comes again."""
    chance = random.Random(42)
    with target.inside.socket(datagrams=True) as asker:
        asker.settimeout(PATIENCE)
        asker.connect((METADATA, 53))
        for _ in range(2000):
            asker.send(message((1, 0, 0, 1), rest=chance.randbytes(chance.randrange(600))))
            tally.expect(True, "")


@attack("DNS")
def long_messages(target: Target, tally: Tally, door: str) -> None:
    """Send 64 KB over TCP, full of records, a hundred times."""
    records = b"\x01a\0\0\1\0\1\0\0\0\0\0\4abcd" * 3800
    query = message((1, 3000, 400, 400), rest=QUESTION + records)[:65535]
    for _ in range(100):
        with target.open(door) as connection:
            connection.sendall(struct.pack("!H", len(query)) + query)
            answer = connection.recv(4096)
        tally.expect(len(answer) == 14, f"{len(answer)} bytes: {answer[:60]!r}")


@attack("DNS")
def idle_streams(target: Target, tally: Tally, door: str) -> None:
    """Open 300 connections, say half a length, and leave others the rest."""
    open_ones = []
    for _ in range(300):
        made = target.open(door)
        with contextlib.suppress(OSError):
            made.sendall(b"\0")
        open_ones.append(made)
        tally.expect(True, "")
    cut = 0
    for each in open_ones:
        each.settimeout(0.01)
        try:
            cut += not each.recv(10)
        except TimeoutError:
            continue
        except OSError:
            cut += 1
    for each in open_ones:
        each.close()
    tally.expect(cut >= 250, f"only {cut} of 300 were cut off")
