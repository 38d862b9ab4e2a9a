"""The methods of operations, which are the same for every API: get, list, wait, delete.

A wait holds its answer until the operation has settled, two minutes at most
(behaviour/api.md#compute-operations).
"""

from collections.abc import Mapping
from typing import Any

from fogbank.discovery.routes import DiscoveryMethod, Match
from fogbank.errors import ApiError
from fogbank.frontend.api.lists import render_list
from fogbank.frontend.api.messages import Settle
from fogbank.frontend.api.operations import (
    find_operation,
    operation_path,
    operation_verb,
    operations_under,
    render_operation,
)
from fogbank.resources.decisions import Decision
from fogbank.resources.operations import Operation
from fogbank.resources.world import DeleteOperation, Json
from fogbank.services.contract import OperationDialect, Service
from fogbank.store.store import Store

WAIT_SECONDS = 120.0
"""The longest wait for an operation."""

_EVERY_LOCATION = "/locations/-"
_VERBS = frozenset({"get", "list", "wait", "delete", "aggregatedList"})


def is_operation_method(service: Service, method: DiscoveryMethod) -> bool:
    """Return whether ``method`` is one of these, of an API that is built."""
    return operation_verb(method, service.operations) in _VERBS


class OperationMethods:
    """Answers the methods of operations of ``services`` (by name) from the World."""

    def __init__(self, store: Store, settle: Settle, services: Mapping[str, Service]) -> None:
        self._store, self._settle, self._services = store, settle, services

    def has(self, method: DiscoveryMethod) -> bool:
        """Return whether ``method`` is one of these."""
        service = self._services.get(method.api)
        return service is not None and is_operation_method(service, method)

    def permission(self, method: DiscoveryMethod) -> str:
        """Return the permission that one of these methods needs."""
        return operation_permission(self._services[method.api], method)

    async def answer(self, match: Match, query: Mapping[str, Any]) -> Json:
        """Answer a call of one of these methods."""
        method = match.method
        dialect = self._services[method.api].operations
        path = operation_path(method, dialect, {**query, **match.parameters})
        match operation_verb(method, dialect):
            case "get":
                return render_operation(self._find(method.api, path), dialect)
            case "wait":
                return render_operation(await self._wait(method.api, path), dialect)
            case "delete":
                return await self._delete(method.api, path)
            case _:
                return self._list(match, dialect, path, query)

    def _find(self, api: str, path: str) -> Operation:
        return find_operation(self._store.world, api, self._services[api].operations, path)

    async def _wait(self, api: str, path: str) -> Operation:
        operation = self._find(api, path)
        if operation.status != "DONE":
            await self._settle(operation.name.path, WAIT_SECONDS)
            operation = self._find(api, path)
        return operation

    async def _delete(self, api: str, path: str) -> Json:
        operation = self._find(api, path)
        if operation.status != "DONE":
            message = f"The operation '{path}' is not done yet."
            raise ApiError(400, message, "FAILED_PRECONDITION", "resourceNotReady")
        await self._store.commit(lambda _world: Decision((DeleteOperation(operation.name),)))
        return {}

    def _list(self, match: Match, dialect: OperationDialect, under: str, query: Mapping[str, Any]) -> Json:
        method = match.method
        aggregated = method.name.endswith(".aggregatedList")
        if aggregated:
            under = f"projects/{match.parameters['project']}/"
        elif under.endswith(_EVERY_LOCATION):
            under = under.removesuffix("-")
        elif under and dialect != "compute" and not under.endswith("operations"):
            under = f"{under}/operations/"
        found = operations_under(self._store.world, method.api, dialect, under)
        field = "items" if dialect == "compute" else "operations"
        return render_list(match, list(found) if aggregated else found, field, query)


def operation_permission(service: Service, method: DiscoveryMethod) -> str:
    """Return the permission that a method of operations needs: ``compute.globalOperations.get``.

    Resource Manager's have none of their own: whoever sees the project sees its operations (unverified).
    """
    collection, _, verb = method.name.rpartition(".")
    if service.name == "cloudresourcemanager":
        return "resourcemanager.projects.get"
    verb = {"wait": "get", "aggregatedList": "list"}.get(verb, verb)
    return f"{service.name}.{collection.rpartition('.')[2]}.{verb}"
