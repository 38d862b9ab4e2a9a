"""Blocks of addresses in a subnetwork: who gets which, for how long, and when there are none."""

from datetime import timedelta
from ipaddress import IPv4Network

import pytest
from tests.worlds import NOW, network, regional, resource, revision_id, subnetwork, world

from fogbank.resources.compute import Subnetwork
from fogbank.resources.direct_vpc import HISTORY, rules_of
from fogbank.resources.serverless_blocks import BLOCK_SIZE, HOLD, RETENTION, all_blocks, blocks_of, count_free
from fogbank.resources.world import Put, World
from fogbank.services.run.addresses import Ended, Wanted, allocate, give_back, release, stop_all

TODAY = HISTORY[-1]
S = regional("subnetworks", "s")
WEB, API = revision_id("web-1"), revision_id("api-1")


class Region:
    """A World that moves on as its controller makes it."""

    def __init__(self, cidr="10.8.0.0/24", rules=TODAY, *others):
        self.world: World = world(network(), subnetwork("s", cidr), *others)
        self.rules, self.now, self.count = rules, NOW, 0

    def start(self, count=1, revision=WEB):
        """Start ``count`` instances; give their ids and addresses, None for those without."""
        names = [f"i{self.count + n}" for n in range(count)]
        self.count += count
        found = allocate(self.world, [Wanted(n, revision, S) for n in names], self.rules, self.now)
        self.world = self.world.after(found.changes)
        return {name: str(found.addresses[name]) if name in found.addresses else None for name in names}

    def end(self, *names, successor=False):
        self.world = self.world.after(release(self.world, [Ended(n, S, successor) for n in names], self.now))

    def later(self, **time):
        self.now += timedelta(**time)
        self.world = self.world.after(give_back(self.world, self.now))

    @property
    def blocks(self):
        return [str(block.range) for block in blocks_of(self.world, S)]

    @property
    def free(self):
        return count_free(self.world, Subnetwork.of(self.world.get(S)), self.rules.longest_prefix)


def test_the_first_block_is_the_second_of_the_range_and_shows_as_an_address():
    region = Region("10.128.0.0/20")
    assert region.start() == {"i0": "10.128.0.16"}
    (block,) = blocks_of(region.world, S)
    body = block.resource.body
    assert (body["address"], body["prefixLength"]) == ("10.128.0.16", 28)
    assert (body["addressType"], body["purpose"], body["status"]) == ("INTERNAL", "SERVERLESS", "RESERVED")
    prefix, digits = body["name"].rsplit("-", 1)
    assert (prefix, len(digits), digits.isdecimal()) == ("serverless-ipv4", 19, True)


def test_seventeen_instances_take_three_blocks():
    region = Region()
    addresses = region.start(17)
    assert region.blocks == ["10.8.0.16/28", "10.8.0.32/28", "10.8.0.48/28"]
    assert list(addresses.values())[:9] == [*(f"10.8.0.{16 + 2 * n}" for n in range(8)), "10.8.0.32"]


@pytest.mark.parametrize(
    ("cidr", "rules", "most"),
    [
        ("10.8.0.0/26", TODAY, 16),
        ("10.8.0.0/24", TODAY, 112),
        ("10.8.0.0/24", HISTORY[0], 56),
        ("10.8.0.0/25", HISTORY[0], 0),
        ("10.8.0.0/27", TODAY, 0),
        ("10.8.0.0/28", TODAY, 0),
    ],
)
def test_a_subnetwork_holds_so_many_instances_and_no_more(cidr, rules, most):
    region = Region(cidr, rules)
    free = region.free
    started = region.start(most + 1)
    assert [name for name, address in started.items() if address is None] == [f"i{most}"]
    assert (free, region.free) == (len(region.blocks), 0)


def test_addresses_of_users_are_kept_clear_of():
    taken = resource(
        regional("addresses", "mine"),
        {"address": "10.8.0.20", "addressType": "INTERNAL", "subnetwork": S.self_link},
    )
    assert Region("10.8.0.0/24", TODAY, taken).start() == {"i0": "10.8.0.32"}


def test_services_share_the_blocks_of_a_subnetwork():
    region = Region()
    assert [*region.start(revision=WEB).values(), *region.start(revision=API).values()] == [
        "10.8.0.16",
        "10.8.0.18",
    ]


def test_the_addresses_of_an_ended_instance_are_free_after_20_minutes():
    region = Region()
    region.start(2)
    region.end("i0")
    assert region.start() == {"i2": "10.8.0.20"}
    region.later(minutes=19, seconds=59)
    assert region.start() == {"i3": "10.8.0.22"}
    region.later(seconds=1)
    assert region.start() == {"i4": "10.8.0.16"}


def test_the_successor_of_an_instance_that_died_takes_its_addresses_over():
    region = Region()
    region.start(2)
    region.end("i0", successor=True)
    assert region.start(revision=API) == {"i2": "10.8.0.20"}
    assert region.start(revision=WEB) == {"i3": "10.8.0.16"}
    assert region.start(revision=WEB) == {"i4": "10.8.0.22"}


def test_a_block_is_given_back_20_minutes_after_its_last_instance():
    region = Region()
    region.start(9)
    region.end("i8")
    region.later(minutes=19)
    assert len(region.blocks) == 2
    region.later(minutes=1)
    assert region.blocks == ["10.8.0.16/28"]


def test_the_last_blocks_are_held_for_an_hour_after_the_last_instance():
    region = Region()
    region.start(9)
    region.end(*(f"i{n}" for n in range(9)))
    region.later(minutes=59)
    assert len(region.blocks) == 2
    region.later(minutes=1)
    assert region.blocks == []
    assert RETENTION < HOLD


def test_a_region_that_was_stopped_gives_each_revision_its_addresses_again():
    region = Region()
    region.start(2, revision=WEB)
    region.start(1, revision=API)
    region.world = region.world.after(stop_all(region.world, region.now))
    assert stop_all(region.world, region.now) == ()
    assert region.start(1, revision=API) == {"i3": "10.8.0.20"}
    assert list(region.start(3, revision=WEB).values()) == ["10.8.0.16", "10.8.0.18", "10.8.0.22"]
    region.later(hours=3)
    assert region.blocks == ["10.8.0.16/28"]


def test_blocks_made_at_once_in_two_subnetworks_have_names_of_their_own():
    other = regional("subnetworks", "t")
    made = world(network(), subnetwork("s", "10.8.0.0/24"), subnetwork("t", "10.9.0.0/24"))
    wanted = [Wanted(f"i{n}", WEB, S if n % 2 else other) for n in range(40)]
    found = allocate(made, wanted, TODAY, NOW)
    after = made.after(found.changes)
    assert {name: len(blocks) for name, blocks in all_blocks(after).items()} == {S: 3, other: 3}
    again = after.after(allocate(after, [Wanted(f"j{n}", WEB, S) for n in range(20)], TODAY, NOW).changes)
    assert len(blocks_of(again, S)) == 5


def test_an_instance_of_a_subnetwork_that_is_gone_gets_nothing():
    region = Region()
    found = allocate(region.world, [Wanted("i", WEB, regional("subnetworks", "gone"))], TODAY, NOW)
    assert (found.changes, found.addresses) == ((), {})


def test_blocks_are_aligned_and_clear_of_what_nobody_gets():
    region = Region("10.8.0.0/26")
    region.start(16)
    assert region.blocks == ["10.8.0.16/28", "10.8.0.32/28"]
    assert IPv4Network(region.blocks[0]).num_addresses == BLOCK_SIZE


def test_a_subnetwork_that_grew_has_blocks_where_its_end_was():
    region = Region("10.8.0.0/26")
    assert region.start(17)["i16"] is None
    found = region.world.get(S)
    region.world = region.world.after([Put(found.with_body(ipCidrRange="10.8.0.0/25"))])
    assert region.start() == {"i17": "10.8.0.48"}


def test_without_a_date_todays_rules_hold():
    assert rules_of(Region().world) is TODAY
