"""Plans of Terraform's: what provider google 7 planned, recorded, and which flows an apply changes.

``terraform_create.json`` makes a network with two machines, two services, a connector, a gateway and a route;
``terraform_change.json`` then denies a tag the web, leaves one subnetwork to the gateway, and makes a
bucket. Both were applied to a region, where real packets did what is asserted here.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from fogbank.app.registry import services
from fogbank.app.terraform.flows import NamedFlow, Verdicts, differences, verdicts
from fogbank.app.terraform.plan_file import PlannedChange, read_plan
from fogbank.app.terraform.preview import Caller, Preview, preview
from fogbank.app.terraform.resources import Defaults, path_of
from fogbank.errors import OperatorError
from fogbank.network.topology import Topology
from fogbank.resources.fleet import Fleet
from fogbank.resources.world import World
from fogbank.services import cloudresourcemanager

NOW = datetime(2026, 11, 29, tzinfo=UTC)
DEFAULTS = Defaults("demo", "asia-northeast1")
FOLDER = Path(__file__).parent / "recorded"


def caller(first_id: int) -> Caller:
    ids = count(first_id)
    return Caller(tuple(services()), DEFAULTS, "me@example.com", NOW, lambda: next(ids), Topology())


def empty() -> World:
    made = cloudresourcemanager.new_project("demo", NOW, count(10**15).__next__, owner="me@example.com")
    return World().after(made)


def recorded(name: str) -> tuple[PlannedChange, ...]:
    return read_plan(json.loads((FOLDER / f"terraform_{name}.json").read_text()), path_of(DEFAULTS))


def flows(world: World) -> Verdicts:
    return verdicts(world, Fleet(), Topology(), NOW)


@pytest.fixture(scope="module")
def created() -> Preview:
    return preview(empty(), recorded("create"), caller(10**16))


def test_a_plan_that_makes_everything_opens_what_its_rules_and_gateways_let_through(created: Preview) -> None:
    assert created.unread == ()
    found = differences(flows(empty()), flows(created.after))
    assert {each.kind for each in found} == {"appears"}
    to_worker = {(e.flow.source, e.flow.port) for e in found if e.flow.destination == "compute/worker"}
    connector = {("run/connected", port) for port in (22, 80, 443, 8080)}  # its own rule lets it in
    assert to_worker == connector | {
        (f"{s}", port) for s in ("compute/bastion", "run/direct") for port in (22, 8080)
    }
    outside = {e.flow.source: e.after.how for e in found if e.flow.destination == "ifconfig.me" and e.after}
    assert outside == {
        "compute/bastion": "from 203.0.113.3",
        "compute/worker": "from 203.0.113.1",
        "run/direct": "from 203.0.113.1",
        "run/connected": "from 198.51.100.8",
    }


def test_a_plan_that_changes_some_breaks_the_flows_that_it_stops_and_no_other(created: Preview) -> None:
    changed = preview(created.after, recorded("change"), caller(10**17))
    found = differences(flows(created.after), flows(changed.after))
    assert [(e.kind, e.flow, e.after.how if e.after else "") for e in found] == [
        ("breaks", NamedFlow("compute/bastion", "ifconfig.me", 443), "FIREWALL_RULE"),
        ("breaks", NamedFlow("run/direct", "ifconfig.me", 80), "NO_EXTERNAL_ADDRESS"),
        ("breaks", NamedFlow("run/direct", "ifconfig.me", 443), "NO_EXTERNAL_ADDRESS"),
    ]
    bucket = "google_storage_bucket.unread[0]"
    assert changed.unread == ((bucket, "resources of the type google_storage_bucket are not read"),)


def test_a_plan_that_destroys_everything_leaves_nothing_and_every_flow_breaks(created: Preview) -> None:
    whole = json.loads((FOLDER / "terraform_change.json").read_text())
    for each in whole["resource_changes"]:
        each["change"] |= {"actions": ["delete"], "after": None, "after_unknown": {}}
    gone = [each for each in whole["resource_changes"] if each["change"]["before"] is not None]
    plan = read_plan(whole | {"resource_changes": gone}, path_of(DEFAULTS))
    destroyed = preview(created.after, plan, caller(10**17))
    assert destroyed.unread == ()
    assert flows(destroyed.after).keys() == flows(empty()).keys()
    assert {each.kind for each in differences(flows(created.after), flows(destroyed.after))} == {"breaks"}
    left = {name for name, members in destroyed.after.collections.items() if members}
    assert left == {name for name, members in empty().collections.items() if members}


def test_asked_flows_alone_are_compared(created: Preview) -> None:
    one = NamedFlow("run/direct", "compute/worker", 8080)
    nowhere = NamedFlow("run/direct", "compute/nobody", 8080)
    found = verdicts(created.after, Fleet(), Topology(), NOW, [one, nowhere])
    assert {each: verdict.arrives for each, verdict in found.items()} == {one: True}


def change(type_: str, name: str, after: Any, unknown: Any = (), **more: Any) -> dict[str, Any]:
    address = f"{more.get('module_address', '')}.{type_}.{name}".removeprefix(".")
    what = {"actions": ["create"], "before": None, "after": after, "after_unknown": dict(unknown)}
    provider = "registry.terraform.io/hashicorp/google"
    known = {"address": address, "mode": "managed", "type": type_, "name": name, "provider_name": provider}
    return known | {"change": what} | more


def configured(type_: str, name: str, **references: str) -> dict[str, Any]:
    expressions = {key: {"references": [value]} for key, value in references.items()}
    return {"mode": "managed", "type": type_, "name": name, "expressions": expressions}


NETWORK = change(
    "google_compute_network",
    "n",
    {"name": "inner", "auto_create_subnetworks": False},
    module_address="module.net",
)
INNER = {
    "resources": [configured("google_compute_network", "n")],
    "outputs": {"id": {"expression": {"references": ["google_compute_network.n.id"]}}},
}


def subnetwork(network: str) -> dict[str, Any]:
    known = {"name": "s", "ip_cidr_range": "10.1.0.0/24", "region": "asia-northeast1"}
    root = {
        "resources": [configured("google_compute_subnetwork", "s", network=network)],
        "module_calls": {"net": {"module": INNER}},
    }
    made = change("google_compute_subnetwork", "s", known, {"network": True})
    return {"resource_changes": [made, NETWORK], "configuration": {"root_module": root}}


def test_a_reference_through_a_module_is_what_the_module_makes() -> None:
    read = {each.address: each for each in read_plan(subnetwork("module.net.id"), path_of(DEFAULTS))}
    assert read["google_compute_subnetwork.s"].after is not None
    assert read["google_compute_subnetwork.s"].after["network"] == "projects/demo/global/networks/inner"
    made = preview(empty(), read.values(), caller(10**16))
    assert made.unread == ()
    assert len(list(made.after.all("compute.subnetworks"))) == 1


@pytest.mark.parametrize("network", ["local.network", "google_compute_network.other.id", "module.no.id"])
def test_a_reference_that_cannot_be_followed_is_told_and_what_needs_it_is_refused(network: str) -> None:
    made = preview(empty(), read_plan(subnetwork(network), path_of(DEFAULTS)), caller(10**16))
    (unknown, refused) = made.unread
    assert unknown == ("google_compute_subnetwork.s", "network is known only after the apply")
    assert refused[1].startswith("refused: ")
    assert len(list(made.after.all("compute.networks"))) == 1


@pytest.mark.parametrize(
    "spoil", [lambda plan: {}, lambda plan: {"resource_changes": plan["resource_changes"]}]
)
def test_what_is_no_plan_is_refused_with_the_command_that_writes_one(spoil: Callable[[Any], Any]) -> None:
    with pytest.raises(OperatorError, match="terraform show -json"):
        read_plan(spoil(subnetwork("local.x")), path_of(DEFAULTS))


def test_a_change_in_place_that_is_not_read_is_told_and_tags_are_changed(created: Preview) -> None:
    (vm,) = (each for each in recorded("create") if each.address == 'google_compute_instance.vm["bastion"]')
    before = vm.after or {}
    after = before | {"tags": [], "can_ip_forward": False}
    update = replace(vm, actions=("update",), before=before, after=after, unknown=())
    made = preview(created.after, [update], caller(10**17))
    assert made.unread == ((vm.address, "a change of can_ip_forward in place is not read"),)
    (bastion,) = (each for each in made.after.all("compute.instances") if each.name.id == "bastion")
    assert not bastion.body["tags"].get("items")
