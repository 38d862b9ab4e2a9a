"""Internal DNS names of instances."""

from tests import worlds

from fogbank.resources.dns import RecordSet, known, resolve
from fogbank.resources.world import World

NAME = f"vm.{worlds.R}-a.c.{worlds.P}.internal."


def world() -> World:
    return worlds.world(
        worlds.network(),
        worlds.network("other"),
        worlds.subnetwork("s", "10.1.0.0/24"),
        worlds.machine("vm", "10.1.0.9", "s", gateway="10.1.0.1"),
    )


def test_the_name_of_an_instance_means_its_address_in_its_network():
    found = resolve(world(), worlds.network_name(), NAME)
    assert [each.texts for each in known(found)] == [("10.1.0.9",)]
    assert resolve(world(), worlds.network_name("other"), NAME) is None
    assert resolve(world(), None, NAME) is None


def test_the_address_of_an_instance_means_its_name():
    ptr = "9.0.1.10.in-addr.arpa."
    assert resolve(world(), worlds.network_name(), ptr, "PTR") == (RecordSet(ptr, "PTR", 3600, (NAME,)),)
    assert resolve(world(), worlds.network_name(), "8.0.1.10.in-addr.arpa.", "PTR") is None
    assert resolve(world(), worlds.network_name(), "x.in-addr.arpa.", "PTR") is None


def test_other_names_of_the_domain_do_not_exist():
    for name in ("internal.", f"gone.{worlds.R}-a.c.{worlds.P}.internal.", f"vm.c.{worlds.P}.internal."):
        assert resolve(world(), worlds.network_name(), name) is None
