"""Memorystore for Redis (``redis.googleapis.com``): instances."""

from fogbank.services.contract import List, Service, operation_permissions
from fogbank.services.locations import list_locations
from fogbank.services.redis.instances import COLLECTION, METHODS, finishes

SERVICE = Service(
    name="redis",
    title="Google Cloud Memorystore for Redis API",
    versions=("v1", "v1beta1"),
    methods={
        "projects.locations.list": List(list_locations, "locations", permission="redis.locations.list"),
        **METHODS,
    },
    permissions=operation_permissions("redis", "operations"),
    operation_response=COLLECTION.operation_response,
    finishes=finishes,
)
