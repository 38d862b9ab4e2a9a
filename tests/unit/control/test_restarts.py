"""What dies again and again is started after growing pauses, until it lives."""

from datetime import timedelta

from fogbank.clock import Clock
from fogbank.control.restarts import RESTART_PAUSES, Restarts
from fogbank.resources.names import ResourceName

OWNER = ResourceName("run.revisions", "projects/p/locations/r/revisions/v")


def test_each_death_makes_the_pause_longer_up_to_the_last_and_life_forgets_them() -> None:
    clock = Clock()
    restarts = Restarts(clock)
    assert restarts.may_start(OWNER)
    for pause in (*RESTART_PAUSES, RESTART_PAUSES[-1]):
        restarts.died(OWNER, "status 1")
        clock.advance(timedelta(seconds=pause * 0.9))
        assert not restarts.may_start(OWNER)
        clock.advance(timedelta(seconds=pause * 0.1))
        assert restarts.may_start(OWNER)
    ((owner, failure),) = restarts.failures("its containers")
    assert (owner, failure.attempts, failure.why) == (OWNER, len(RESTART_PAUSES) + 1, "status 1")
    restarts.came_up(OWNER)
    assert list(restarts.failures("its containers")) == []
