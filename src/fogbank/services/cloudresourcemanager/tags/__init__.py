"""Tags: keys, values and their bindings to resources (behaviour/tags.md).

An organisation is a name here, as a billing account is: whoever administers the region owns its tags.
"""

from collections.abc import Mapping

from fogbank.services.cloudresourcemanager.tags import bindings, keys, values
from fogbank.services.contract import Method

METHODS: Mapping[str, Method] = {**keys.METHODS, **values.METHODS, **bindings.METHODS}
