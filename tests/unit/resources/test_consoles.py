"""Serial ports: a client that asks for what came after its last answer misses nothing that is kept."""

from hypothesis import given
from hypothesis import strategies as st

from fogbank.resources import consoles
from fogbank.resources.consoles import Consoles, SerialPort


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_reading_on_from_the_last_answer_gives_every_byte_once(written: list[bytes]) -> None:
    port, position, seen = SerialPort(), 0, b""
    for content in written:
        port.append(content)
        start, found = port.read(position)
        assert start == position
        position, seen = start + len(found), seen + found
    assert seen == b"".join(written)
    assert port.read(position) == (position, b"")


def test_only_the_last_bytes_are_kept_and_their_positions_stay(monkeypatch) -> None:
    monkeypatch.setattr(consoles, "KEPT_BYTES", 10)
    port = SerialPort()
    port.append(b"0123456789")
    port.append(b"abc")
    assert port.read(0) == (3, b"3456789abc")
    assert port.read(11) == (11, b"bc")
    assert port.read(99) == (13, b"")
    assert port.read(-2) == (11, b"bc")


def test_what_machines_that_are_gone_wrote_is_forgotten() -> None:
    kept = Consoles()
    kept.write("vm-1", "one")
    kept.write("vm-2", "two")
    kept.keep({"vm-2"})
    assert kept.port("vm-1").read(0) == (0, b"")
    assert kept.port("vm-2").read(0) == (0, b"two\r\n")
