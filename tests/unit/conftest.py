"""Regions whose keys are made once, because making them is slow."""

import pytest
from tests.identities import region_in


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("identity") / "authority"
    region_in(folder).identity.warm()
    return folder


@pytest.fixture
def region(keys):
    return region_in(keys)
