"""What an HTTP/2 connection may cost before it is ended."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogbank.frontend.http.frames import ALLOWANCE, FRAMES_PER_TURN, PREFACE_BYTES, FrameMeter, TooMuchError
from fogbank.limits import HEAD_LIMIT

DATA, HEADERS, RESET, PING, CONTINUATION = 0, 1, 3, 6, 9


def frame(kind, flags=0, length=8):
    return struct.pack("!I", length)[1:] + bytes([kind, flags, 0, 0, 0, 1]) + bytes(length)


def take_all(meter, data, now=0.0):
    while data:
        data = data[meter.take(data, now) :]


@pytest.fixture
def meter():
    made = FrameMeter(0.0)
    take_all(made, bytes(PREFACE_BYTES))
    return made


def test_a_ping_flood_ends_the_connection_and_a_ping_a_second_never(meter):
    for second in range(5000):
        take_all(meter, frame(PING), float(second))
    with pytest.raises(TooMuchError, match="no request"):
        take_all(meter, frame(PING) * int(ALLOWANCE + 200), 5000.0)


def test_rapid_resets_end_the_connection_and_a_few_do_not(meter):
    pair = frame(HEADERS, 5) + frame(RESET, 0, 4)
    take_all(meter, pair * 90)
    with pytest.raises(TooMuchError):
        take_all(meter, pair * 20)


def test_requests_and_data_cost_nothing(meter):
    take_all(meter, (frame(HEADERS, 4) + frame(DATA, 1)) * 3000)


def test_what_this_side_sent_pays_for_what_comes_back(meter):
    for _ in range(2000):
        meter.credit(1)
        take_all(meter, frame(PING))


def test_a_header_block_has_a_limit_however_it_is_cut(meter):
    with pytest.raises(TooMuchError, match="header block"):
        take_all(meter, frame(HEADERS) + frame(CONTINUATION, 0, 9000) * (HEAD_LIMIT // 9000 + 1))


def test_a_frame_larger_than_the_settings_is_refused_by_its_head(meter):
    with pytest.raises(TooMuchError, match="larger"):
        meter.take(frame(DATA, 0, 20_000)[:9], 0.0)


def test_a_block_that_does_not_end_is_known_to_wait(meter):
    meter.take(frame(HEADERS), 7.0)
    assert meter.block_began == 7.0
    meter.take(frame(CONTINUATION, 4), 9.0)
    assert meter.block_began is None


@given(st.lists(st.integers(1, 40)), st.integers(1, 300))
def test_the_count_does_not_depend_on_how_the_bytes_arrive(cuts, frames):
    stream = bytes(PREFACE_BYTES) + frame(DATA, 0, 3) * frames
    whole, pieces = FrameMeter(0.0), FrameMeter(0.0)
    taken = whole.take(stream, 0.0)
    assert taken <= PREFACE_BYTES + FRAMES_PER_TURN * 12
    at = 0
    for cut in [*cuts, len(stream)]:
        take_all(pieces, stream[at : at + cut])
        at += cut
    take_all(whole, stream[taken:])
    assert pieces.block_began == whole.block_began is None
