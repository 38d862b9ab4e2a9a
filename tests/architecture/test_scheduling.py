"""Tests that take long start first, in one piece with those that they must run beside."""

import pytest
from tests.scheduling import longest_first


class Marked:
    """As much of a test as its order needs."""

    def __init__(self, nodeid: str, seconds: float = 0.0, group: str = "") -> None:
        self.nodeid, self.seconds, self.group = nodeid, seconds, group

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        marks = {"slow": pytest.mark.slow(self.seconds), "xdist_group": pytest.mark.xdist_group(self.group)}
        return marks[name].mark if marks[name].args[0] else None


def test_the_longest_piece_starts_first_and_a_group_is_one_piece() -> None:
    given = [
        Marked("quick"),
        Marked("a", 4.0, "article"),
        Marked("long", 6.0),
        Marked("also quick"),
        Marked("b", 3.0, "article"),
    ]
    ordered = longest_first(given)  # type: ignore[type-var]
    assert [each.nodeid for each in ordered] == ["a", "b", "long", "quick", "also quick"]


@pytest.mark.xdist_group("named")
def test_workers_keep_a_group_together(request: pytest.FixtureRequest) -> None:
    # The scheduler reads the group from the test's id, where a worker has put it.
    grouped = bool(getattr(request.config.option, "loadgroup", False))
    assert request.node.nodeid.endswith("@named") == grouped
