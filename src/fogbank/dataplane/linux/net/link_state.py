"""Waiting until interfaces carry packets.

An interface that is set up discards what it is given until the kernel's link watch has attached its queue.
From then on its operational state is UP. The link watch runs by itself, usually some milliseconds later; a
first packet that is lost meanwhile is sent again after a second. Since Linux 6.8 asking for one interface
runs the link watch for it, so that asking once is enough; older kernels are asked again.
"""

import time
from collections.abc import Mapping, Sequence

from fogbank.dataplane.linux.net import rtnetlink
from fogbank.dataplane.linux.net.netlink import Netlink

UP_SECONDS = 2.0
"""How long interfaces may take. The kernel's link watch puts a change off for a second at most."""
_AGAIN_SECONDS = 0.0005


def not_up(indexes: Mapping[Netlink, Sequence[int]], seconds: float) -> list[tuple[Netlink, int]]:
    """Wait until the interfaces ``indexes`` of each socket's namespace are up; list those that are not.

    Blocks for ``seconds`` at most, on Linux 6.8 or newer not at all. An interface that is gone is not up.
    """
    deadline = time.monotonic() + seconds
    waiting = {link: list(numbers) for link, numbers in indexes.items()}
    while True:
        waiting = {link: down for link, numbers in waiting.items() if (down := _down(link, numbers))}
        if not waiting or time.monotonic() >= deadline:
            return [(link, number) for link, numbers in waiting.items() for number in numbers]
        time.sleep(_AGAIN_SECONDS)


def _down(link: Netlink, numbers: Sequence[int]) -> list[int]:
    answers = link.query_all([rtnetlink.get_link(number) for number in numbers])
    return [
        number
        for number, answer in zip(numbers, answers, strict=True)
        if isinstance(answer, OSError) or not rtnetlink.parse_link(answer).up
    ]
