"""Clients are served as in the product: on uvloop. The real gcloud is loaded once a file."""

from collections.abc import Iterator

import pytest
import uvloop
from tests.loaded_gcloud import LoadedGcloud, load_gcloud
from tests.private_world import pytest_pyfunc_call  # noqa: F401
from tests.stand_in_host import machine  # noqa: F401


def pytest_asyncio_loop_factories():
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="module")
def gcloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedGcloud]:
    """The real gcloud, which need not start anew for each command."""
    with load_gcloud(tmp_path_factory.mktemp("gcloud")) as loaded:
        yield loaded
