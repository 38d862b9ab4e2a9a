"""Which item of a routing policy answers a client (behaviour/cloud-dns.md#routing-policies)."""

from dataclasses import dataclass
from itertools import takewhile

from fogbank.resources.world import Json


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, as far as routing policies care: its ``region``, if any, and a ``draw`` from [0, 1)."""

    region: str = ""
    draw: float = 0.0


NOBODY = Asker()


def chosen_data(policy: Json, asker: Asker) -> tuple[str, ...]:
    """Choose the data that ``asker`` gets: by weight, or of the closest location."""
    if "geo" in policy:
        return tuple(_closest(policy["geo"]["items"], asker.region)["rrdatas"])
    return tuple(_drawn(policy["wrr"]["items"], asker.draw)["rrdatas"])


def _drawn(items: list[Json], draw: float) -> Json:
    """Choose in proportion to the weights; when all are zero each is as likely as the others."""
    weights = [each["weight"] for each in items]
    if not any(weights):
        return items[int(draw * len(items))]
    left = draw * sum(weights)
    for item, weight in zip(items, weights, strict=True):
        if left < weight:
            return item
        left -= weight
    return next(each for each in reversed(items) if each["weight"])  # rounding took the last bit


def _closest(items: list[Json], region: str) -> Json:
    """Choose the location that is called most alike: region names go from continents to places."""
    return max(items, key=lambda each: _in_common(each["location"], region))


def _in_common(one: str, other: str) -> int:
    """Count the characters with which both begin; the same name has more in common than a longer one."""
    pairs = zip(f"{one}.", f"{other}.", strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
