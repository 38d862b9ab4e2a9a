"""Cloud Billing API: what it answers."""

import pytest
from tests.serving import Region

from fogbank.discovery.routes import methods
from fogbank.errors import ApiError
from fogbank.frontend.api.coverage import handled
from fogbank.services.cloudbilling import SERVICE


async def test_what_is_not_built_is_refused_by_its_name(tmp_path):
    region = Region(tmp_path, [SERVICE])
    described = [m for v in SERVICE.versions for m in methods(f"{SERVICE.name}.{v}").values()]
    for method in (each for each in described if not handled(SERVICE, each)):
        with pytest.raises(ApiError) as caught:
            region.calls.check_built(method)
        assert (caught.value.code, method.id in caught.value.message) == (400, True)
    await region.store.close()
