"""HTTP/2 frames, counted before anything reads them: what a connection may cost.

Every frame costs the server more than the client, so a client has an allowance. It grows with time and with
what the client asked for; a flood of pings, settings, resets (CVE-2023-44487) or empty frames uses it up. A
header block, in one frame or in many (CONTINUATION flood, CVE-2024-27316), has the same limit as the head of
an HTTP/1.1 request. RFC 9113, section 10.5, leaves the figures to servers.
"""

from fogbank.limits import HEAD_LIMIT

PREFACE_BYTES = 24
LARGEST_FRAME = 16384
"""The default of SETTINGS_MAX_FRAME_SIZE, which is never raised here."""

ALLOWANCE = 1000.0
REFILL_PER_SECOND = 100.0
RESET_COST = 10.0
"""A stream that is cancelled costs as much as ten other frames: a request was begun for it."""

FRAMES_PER_TURN = 64
"""How many frames are handled before others have their turn in the event loop."""
_DATA, _HEADERS, _RST_STREAM, _CONTINUATION = 0x0, 0x1, 0x3, 0x9
_END_HEADERS = 0x4


class TooMuchError(Exception):
    """The connection used up its allowance; the message says with what."""


class FrameMeter:
    """Follows the frames of one connection.

    ``block_began`` is when the frame or header block began that is not complete yet.
    """

    def __init__(self, now: float) -> None:
        self._skip = PREFACE_BYTES
        self._head = b""
        self._block = 0
        self._allowance, self._counted_at = ALLOWANCE, now
        self.block_began: float | None = None

    def credit(self, frames: int) -> None:
        """Allow more, because this side sent something that the client answers with frames."""
        self._allowance = min(ALLOWANCE, self._allowance + frames)

    def take(self, data: bytes, now: float) -> int:
        """Count frames of ``data``, FRAMES_PER_TURN at most; gives how many bytes they have.

        TooMuchError when the connection has to end.
        """
        self._allowance = min(ALLOWANCE, self._allowance + (now - self._counted_at) * REFILL_PER_SECOND)
        self._counted_at = now
        at = frames = 0
        while at < len(data) and frames < FRAMES_PER_TURN:
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            step = min(9 - len(self._head), len(data) - at)
            self._head += data[at : at + step]
            at += step
            if len(self._head) == 9:
                self._count(self._head)
                self._head = b""
                frames += 1
        waiting = bool(self._skip or self._head or self._block)
        if not waiting:
            self.block_began = None
        elif self.block_began is None:
            self.block_began = now
        return at

    def _count(self, head: bytes) -> None:
        length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        if length > LARGEST_FRAME:
            raise TooMuchError("a frame is larger than the settings allow")
        self._skip = length
        if kind in {_HEADERS, _CONTINUATION}:
            self._block += length
            if self._block > HEAD_LIMIT:
                raise TooMuchError("a header block is too long")
            if flags & _END_HEADERS:
                self._block = 0
                if kind == _HEADERS:
                    return
        elif kind == _DATA and length:
            return
        self._allowance -= RESET_COST if kind == _RST_STREAM else 1
        if self._allowance < 0:
            raise TooMuchError("too many frames that carry no request")
