"""A request gets the least busy instance, and among equals the one that was started first."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests import worlds

from fogbank.resources.run import read_revision
from fogbank.services.run.controller.instance_state import InstanceState
from fogbank.services.run.controller.places import Places
from fogbank.services.run.controller.revision_instances import RevisionInstances
from fogbank.services.run.instances import instance_of

STORED = worlds.revision("web-00001-abc", service="web")
REVISION = read_revision(STORED)
CONCURRENCY = REVISION.concurrency


class Assignments(RuleBasedStateMachine):
    """Whatever comes, goes and ends, the choice is the one that a look at all instances would make."""

    def __init__(self) -> None:
        super().__init__()
        self.instances = RevisionInstances()
        self.started = 0
        self.there: list[InstanceState] = []
        self.busy: list[InstanceState] = []

    @rule()
    def start(self) -> None:
        self.started += 1
        spec = instance_of(f"web-{self.started}", STORED, self.started, 0)
        instance = InstanceState(spec, REVISION, self.started, self.started, 0.0)
        self.there.append(instance)
        self.instances.add(instance)

    @precondition(lambda self: any(each.phase == "starting" for each in self.there))
    @rule()
    def listen(self) -> None:
        self.instances.became_ready(next(each for each in self.there if each.phase == "starting"))

    @rule(count=st.integers(1, 2 * CONCURRENCY))
    def requests(self, count: int) -> None:
        for _ in range(count):
            ready = [each for each in self.there if each.phase == "ready" and each.in_flight < CONCURRENCY]
            expected = min(ready, key=lambda each: each.in_flight, default=None)
            assert self.instances.acquire() is expected
            if expected:
                self.busy.append(expected)

    @precondition(lambda self: self.there)
    @rule(data=st.data())
    def prefer(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(self.there))
        ready = [each for each in self.there if each.phase == "ready" and each.in_flight < CONCURRENCY]
        expected = chosen if chosen in ready else min(ready, key=lambda each: each.in_flight, default=None)
        assert self.instances.acquire(chosen.id) is expected
        if expected:
            self.busy.append(expected)

    @precondition(lambda self: any(each.phase == "ready" for each in self.there))
    @rule()
    def fail_readiness(self) -> None:
        self.instances.became_unready(next(each for each in self.there if each.phase == "ready"))

    @precondition(lambda self: any(each.phase == "unready" for each in self.there))
    @rule()
    def pass_readiness_again(self) -> None:
        self.instances.became_ready(next(each for each in self.there if each.phase == "unready"))

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def end_request(self, data: st.DataObject) -> None:
        self.instances.release(self.busy.pop(data.draw(st.integers(0, len(self.busy) - 1))))

    @precondition(lambda self: self.there)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        self.instances.remove(self.there.pop(data.draw(st.integers(0, len(self.there) - 1))))

    @invariant()
    def counts(self) -> None:
        assert self.instances.in_flight == sum(each.in_flight for each in self.there)
        assert list(self.instances) == self.there
        assert len(self.instances._heap) <= 2 * len(self.there) + 64 + 1


TestAssignments = Assignments.TestCase


@given(st.lists(st.booleans(), max_size=60))
def test_no_two_instances_have_one_place_and_a_place_that_was_left_rests_the_longest(
    takes: list[bool],
) -> None:
    places, held, left = Places(5), list[int](), list[int]()
    for takes_one in takes:
        if takes_one:
            place = places.take()
            if place is None:
                assert len(held) == 5
                continue
            assert place not in held
            if place in left:
                assert place == left.pop(0)
            held.append(place)
        elif held:
            left.append(held.pop(0))
            places.give_back(left[-1])
