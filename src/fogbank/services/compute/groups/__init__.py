"""Groups of instances: unmanaged ones, and those whose manager makes, mends and replaces the instances."""

from fogbank.services.compute.groups import managers, unmanaged
from fogbank.services.contract import Method

METHODS: dict[str, Method] = {**unmanaged.METHODS, **managers.METHODS}
