"""Laws of the addresses that instances hold in a subnetwork, whatever starts, ends and passes."""

from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st
from tests.worlds import NOW, network, regional, resource, revision_id, subnetwork, world

from fogbank.resources.direct_vpc import HISTORY
from fogbank.resources.serverless_blocks import BLOCK_SIZE, HOLD, RETENTION, blocks_of
from fogbank.resources.world import World
from fogbank.services.run.addresses import Ended, Wanted, allocate, give_back, release, stop_all

S = regional("subnetworks", "s")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.integers(1, 12), st.integers(0, 1)),
        st.tuples(st.just("end"), st.integers(0, 30), st.booleans()),
        st.tuples(st.just("wait"), st.integers(1, 70), st.none()),
        st.tuples(st.just("stop"), st.none(), st.none()),
    ),
    max_size=25,
)
RANGES = st.sampled_from(["10.8.0.0/26", "10.8.0.0/25", "10.8.0.64/26", "10.8.0.0/24"])


class Model:
    """What the world must agree with: who runs where, and which addresses are still kept."""

    def __init__(self, cidr, rules, mine):
        reserved = [
            resource(
                regional("addresses", f"a{n}"),
                {"address": str(IPv4Network(cidr)[n]), "addressType": "INTERNAL", "subnetwork": S.self_link},
            )
            for n in mine
        ]
        self.world: World = world(network(), subnetwork("s", cidr), *reserved)
        self.cidr, self.rules, self.now = IPv4Network(cidr), rules, NOW
        self.mine = {self.cidr[n] for n in mine}
        self.running: dict[str, tuple[IPv4Address, str]] = {}
        self.kept: list[tuple[IPv4Address, timedelta, str]] = []
        self.count = 0

    def start(self, count, which):
        revision = revision_id(f"web-{which}")
        wanted = [Wanted(f"i{self.count + n}", revision, S) for n in range(count)]
        self.count += count
        found = allocate(self.world, wanted, self.rules, self.now)
        for name, address in found.addresses.items():
            clear = [a for a, until, heir in self.kept if until > self.now - NOW and heir != revision.path]
            assert address not in clear, "somebody's addresses were given away too early"
            self.kept = [each for each in self.kept if each[0] != address]
            self.running[name] = address, revision.path
        self.world = self.world.after(found.changes)
        if len(found.addresses) < count:
            free = [n for block in blocks_of(self.world, S) for n in block.free(self.now)]
            assert free == [], "an instance was refused though an address was free"

    def end(self, number, successor):
        if self.running:
            name = sorted(self.running)[number % len(self.running)]
            address, revision = self.running.pop(name)
            self.world = self.world.after(release(self.world, [Ended(name, S, successor)], self.now))
            self.kept.append((address, self.now - NOW + RETENTION, revision if successor else ""))

    def wait(self, minutes, _):
        self.now += timedelta(minutes=minutes)
        self.world = self.world.after(give_back(self.world, self.now))

    def stop(self, *_):
        for address, revision in self.running.values():
            self.kept.append((address, self.now - NOW + RETENTION, revision))
        self.running.clear()
        self.world = self.world.after(stop_all(self.world, self.now))

    def check(self):
        blocks = blocks_of(self.world, S)
        held: dict[IPv4Address, str] = {}
        for block in blocks:
            assert block.range.subnet_of(self.cidr)
            assert self.mine.isdisjoint(block.range)
            assert {self.cidr[n] for n in (0, 1, -2, -1)}.isdisjoint(block.range)
            for number, slot in block.slots.items():
                if slot.ended is None:
                    own = {block.address(number) + n for n in range(block.size)}
                    assert own.isdisjoint(held)
                    assert own <= set(block.range)
                    held |= dict.fromkeys(own, slot.instance)
                    assert self.running[slot.instance][0] == block.address(number)
        assert len(held) == len(self.running) * self.rules.addresses
        assert len({block.range for block in blocks}) == len(blocks)
        assert sum(BLOCK_SIZE for _ in blocks) >= len(held)
        kept = {address for address, until, _ in self.kept if until > self.now - NOW}
        assert all(any(address in block.range for block in blocks) for address in kept)


@given(RANGES, st.sampled_from([HISTORY[-1], HISTORY[-2]]), st.sets(st.integers(2, 60), max_size=2), STEPS)
def test_no_address_has_two_holders_and_none_is_refused_or_given_away_too_early(cidr, rules, mine, steps):
    model = Model(cidr, rules, mine)
    for what, *arguments in steps:
        getattr(model, what)(*arguments)
        model.check()
    model.stop()
    model.wait(HOLD / timedelta(minutes=1), None)
    assert blocks_of(model.world, S) == [], "nothing is left an hour after the last instance"
