"""Which instance a path starts from, by what a person calls it."""

import pytest
from inline_snapshot import snapshot
from tests import worlds

from fogbank.app.trace_sources import find_source
from fogbank.control.controller import TraceSource
from fogbank.errors import OperatorError
from fogbank.lowering.netns_names import instance_netns
from fogbank.resources.names import ResourceName
from fogbank.resources.run import service_name


def source(project: str, service: str, number: int, region: str = worlds.R) -> TraceSource:
    identifier = f"{service}-00001-abc-{number:04x}"
    parts = (f"{service}-00001-abc", identifier)
    name = service_name(project, region, service)
    return TraceSource(identifier, instance_netns(identifier), name, parts)


MINE, THEIRS, OTHERS = source("demo", "web", 1), source("shop", "web", 2), source("bank", "web", 3)
READY = (OTHERS, THEIRS, MINE, source("shop", "till", 4))


def found(asked: str, ready: tuple[TraceSource, ...] = READY, project: str = "demo", more: tuple = ()) -> str:
    return find_source(asked, ready, more, project).id


@pytest.mark.parametrize(
    "asked",
    [
        "web",
        "run/web",
        "run/web/",
        "run/demo/web",
        "demo/web",
        "run/web/web-00001-abc",
        "run/demo/web/web-00001-abc",
        "run/web/web-00001-abc-0001",
        "web-00001-abc-0001",
    ],
)
def test_a_name_without_a_project_is_the_default_projects(asked: str) -> None:
    assert found(asked) == MINE.id


@pytest.mark.parametrize("asked", ["run/shop/web", "shop/web/web-00001-abc", "web-00001-abc-0002"])
def test_a_whole_name_and_an_id_reach_every_project(asked: str) -> None:
    assert found(asked) == THEIRS.id


def test_a_name_that_only_one_other_project_has_is_its() -> None:
    assert found("till") == "till-00001-abc-0004"


def test_a_name_that_only_other_projects_share_is_refused_with_the_whole_names() -> None:
    with pytest.raises(OperatorError) as refused:
        found("run/web", project="nobodys")
    assert str(refused.value) == snapshot(
        "run/web is the name of more than one service: run/bank/web, run/demo/web, run/shop/web."
    )


def test_a_service_of_the_default_project_that_sleeps_is_not_mistaken_for_anothers() -> None:
    with pytest.raises(OperatorError) as refused:
        found("run/web", (THEIRS,), more=(service_name("demo", worlds.R, "web"),))
    assert str(refused.value) == snapshot("No instance of run/web runs. Send it a request first.")


def test_a_service_of_two_regions_is_named_by_an_instance() -> None:
    abroad = source("demo", "web", 5, "europe-west1")
    with pytest.raises(OperatorError, match=r"Name an instance: web-00001-abc-0001, web-00001-abc-0005\."):
        found("web", (MINE, abroad))
    assert found("web-00001-abc-0005", (MINE, abroad)) == abroad.id


def test_what_does_not_run_is_answered_with_what_does() -> None:
    with pytest.raises(OperatorError) as refused:
        found("run/nothing")
    assert str(refused.value) == snapshot(
        "No instance of run/nothing runs. These do: run/bank/web, run/shop/till, run/shop/web, run/web."
    )
    with pytest.raises(OperatorError, match="Deploy a service first"):
        found("web", ())


def test_what_another_api_runs_is_called_by_that_apis_name() -> None:
    name = ResourceName("toy.instances", f"projects/demo/locations/{worlds.R}/instances/cache")
    cache = TraceSource("cache-1", instance_netns("cache-1"), name, ("cache-1",))
    ready = (MINE, cache)
    assert {found(each, ready) for each in ("cache", "toy/cache", "toy/demo/cache", "cache-1")} == {"cache-1"}
    with pytest.raises(OperatorError, match=r"These do: run/web, toy/cache\."):
        found("run/cache", ready)


def test_one_name_in_two_apis_is_told_apart_by_the_apis_name() -> None:
    name = ResourceName("toy.instances", f"projects/demo/locations/{worlds.R}/instances/web")
    cache = TraceSource("cache-1", instance_netns("cache-1"), name)
    assert (found("toy/web", (MINE, cache)), found("run/web", (MINE, cache))) == ("cache-1", MINE.id)
    with pytest.raises(OperatorError, match=r"more than one .*: run/demo/web, toy/demo/web\."):
        found("web", (MINE, cache))
