"""Projects that exist from the start, that come to be on first use, and that are refused."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from fogbank.app.projects import Projects
from fogbank.errors import ApiError
from fogbank.resources.projects import project_name
from fogbank.services.compute import default_network
from fogbank.store.journal import Journal
from fogbank.store.store import Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(Journal(tmp_path / "world.sqlite"))
    yield store
    await store.close()


def projects(store: Store, *, strict: bool) -> Projects:
    numbers = count(1)
    return Projects(
        store,
        owner="me@example.com",
        strict=strict,
        defaults=default_network,
        now=lambda: datetime(2026, 1, 2, tzinfo=UTC),
        new_id=lambda: next(numbers),
    )


async def test_a_project_comes_to_be_with_its_default_network_on_first_use(store: Store) -> None:
    assert await projects(store, strict=False).ensure("mine") == "mine"
    assert store.world.find(project_name("mine"))
    assert [network.name.id for network in store.world.all("compute.networks")] == ["default"]


async def test_a_project_has_the_number_that_the_operator_chooses(store: Store) -> None:
    made = projects(store, strict=False)
    await made.provision_default_network("mine", "123456789012")
    assert store.world.get(project_name("mine")).body["projectNumber"] == "123456789012"
    assert await made.ensure("123456789012") == "mine"


async def test_a_strict_region_refuses_what_nobody_created_but_has_its_own_project(store: Store) -> None:
    strict = projects(store, strict=True)
    await strict.provision_default_network("mine")
    assert await strict.ensure("mine") == "mine"
    with pytest.raises(ApiError, match="Permission denied on resource project other"):
        await strict.ensure("other")
    assert store.world.find(project_name("other")) is None
