"""Processes of a region, as /proc shows them."""

from collections.abc import Iterator
from pathlib import Path


def below(process: int) -> Iterator[int]:
    """List a process and all below it."""
    yield process
    try:
        threads = [int(each.name) for each in Path(f"/proc/{process}/task").iterdir()]
        children = [Path(f"/proc/{process}/task/{each}/children").read_text().split() for each in threads]
    except OSError:  # it has ended just now
        return
    for each in (child for found in children for child in found):
        yield from below(int(each))
