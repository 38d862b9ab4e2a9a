"""A kind of network element has an entry in every table; the type checker finds what is matched instead."""

from collections import Counter
from collections.abc import Iterable
from typing import get_args

from tests.elements import ELEMENTS

from fogbank.dataplane.linux.driver import LinuxDriver
from fogbank.dataplane.linux.net.namespaces import NetworkNamespaces
from fogbank.network import topology
from fogbank.network.kinds import KINDS, kind_of
from fogbank.network.topology import Element


def linux_kinds() -> list[type]:
    driver = LinuxDriver(
        serve=lambda _, opened: opened.close(),
        unserve=lambda _: None,
        namespaces=NetworkNamespaces(pool_size=0),
    )
    try:
        return [kind for group in driver._groups for kind in group.kinds]
    finally:
        driver.close()


def wrong(table: str, kinds: Iterable[type], *, once: bool = True) -> list[str]:
    counted, union = Counter(kinds), get_args(Element)
    return [
        *(f"{table} lacks {kind.__name__}" for kind in union if kind not in counted),
        *(f"{table} has {kind.__name__}, which is no Element" for kind in counted if kind not in union),
        *(f"{table} has {kind.__name__} twice" for kind, n in counted.items() if once and n > 1),
    ]


def test_every_kind_of_element_has_an_entry_in_every_table() -> None:
    named = [getattr(topology, name) for name in topology.__all__]
    incomplete = [
        *wrong("KINDS in src/fogbank/network/kinds.py", (kind.element for kind in KINDS)),
        *wrong(
            "src/fogbank/dataplane/linux (NET_KINDS in net/kinds.py, RULE_KINDS in firewall/kinds.py, "
            "or a group of its own in driver.py)",
            linux_kinds(),
        ),
        *wrong("ELEMENTS in tests/elements.py", map(type, ELEMENTS), once=False),
        *wrong("__all__ of src/fogbank/network/topology.py", set(named) & set(get_args(Element))),
    ]
    assert not incomplete, "\n" + "\n".join(incomplete)


def test_a_key_begins_with_the_name_of_its_kind() -> None:
    known = [element for element in ELEMENTS if type(element) in {kind.element for kind in KINDS}]
    assert [element.key[0] for element in known] == [kind_of(element).name for element in known]
    assert len({kind.name for kind in KINDS}) == len(KINDS)
