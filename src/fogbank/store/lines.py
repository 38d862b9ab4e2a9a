"""Files of JSON lines that only grow, within a bound, and those who follow what comes.

The access log of third parties and the logbook are such files. A line that was cut short by a crash or a full
disk is skipped and never joined to the next one.
"""

import asyncio
import errno
import json
import os
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import IO, Any

LARGEST_BYTES = 16 * 1024 * 1024
"""When a file would pass this size it becomes ``<name>.1``, replacing the one before."""

LONGEST_QUEUE = 10_000
"""How many lines may wait for one follower."""

_AT_ONCE = 500
"""How many lines are read before others have their turn: some milliseconds' worth."""

Line = Mapping[str, Any]


class LineFile:
    """The file at ``path``, for its owner only; it belongs to one thread."""

    def __init__(self, path: Path, largest: int = LARGEST_BYTES) -> None:
        self._path = path
        self._older = path.with_name(path.name + ".1")
        self._largest = largest
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor, self._size, self._cut = _open(path)

    def append(self, line: Line) -> None:
        """Write one line; OSError when the disk refuses."""
        text = json.dumps(line, ensure_ascii=False).encode(errors="replace") + b"\n"
        if self._size and self._size + len(text) > self._largest:
            os.close(self._descriptor)
            self._path.replace(self._older)
            self._descriptor, self._size, self._cut = _open(self._path)
        if self._cut:
            text = b"\n" + text
        written = os.write(self._descriptor, text)
        self._size += written
        self._cut = written < len(text)
        if self._cut:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def read(self) -> Iterator[Line]:
        """Read every whole line that is kept when the first one is asked for, oldest first.

        The reader may take its time: what is appended meanwhile is left out, what is replaced stays readable.
        """
        with ExitStack() as opened:
            paths = [path for path in (self._older, self._path) if path.exists()]
            files = [opened.enter_context(path.open("rb")) for path in paths]
            sizes = [os.fstat(file.fileno()).st_size for file in files]
            for file, size in zip(files, sizes, strict=True):
                yield from _parse(_first(size, file))

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class Followers:
    """Those who wait for lines; one who is so slow that ten thousand wait for it is let go."""

    def __init__(self) -> None:
        self._queues: dict[asyncio.Queue[Line | None], None] = {}

    def __len__(self) -> int:
        return len(self._queues)

    def tell(self, line: Line) -> None:
        """Hand a line to everyone."""
        for queue in tuple(self._queues):
            if queue.qsize() >= LONGEST_QUEUE:
                del self._queues[queue]
                queue.put_nowait(None)
            else:
                queue.put_nowait(line)

    async def follow(self, before: Iterable[Line]) -> AsyncGenerator[Line, None]:
        """Yield the lines ``before``, then those to come, until the reader goes or is let go.

        ``before`` must not grow while it is read.
        """
        queue: asyncio.Queue[Line | None] = asyncio.Queue()
        self._queues[queue] = None
        try:
            async with aclosing(unhurried(before)) as kept:
                async for line in kept:
                    yield line
            while (latest := await queue.get()) is not None:
                yield latest
        finally:
            self._queues.pop(queue, None)


async def unhurried(lines: Iterable[Line]) -> AsyncGenerator[Line, None]:
    """Yield ``lines``, and let other tasks run after every few hundred of them."""
    for number, line in enumerate(lines, 1):
        yield line
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)


def _open(path: Path) -> tuple[int, int, bool]:
    """Open a file for appending; give its descriptor, its size, and whether its last line was cut short."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    size = os.fstat(descriptor).st_size
    return descriptor, size, size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def _first(size: int, file: IO[bytes]) -> Iterator[bytes]:
    """Read the lines within the first ``size`` bytes, fewer when somebody cuts the file short meanwhile."""
    while file.tell() < size and (line := file.readline()):
        yield line


def _parse(lines: Iterable[bytes]) -> Iterator[Line]:
    for line in lines:
        try:
            shown = json.loads(line)
        except ValueError:
            continue  # a line that was cut short
        if isinstance(shown, dict):
            yield shown
