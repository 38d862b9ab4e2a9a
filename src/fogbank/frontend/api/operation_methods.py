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
from fogbank.store.store import Store

WAIT_SECONDS = 120.0
"""The longest wait for an operation."""

_VERBS = frozenset({"get", "list", "wait", "delete", "aggregatedList"})


class OperationMethods:
    """Answers the methods of operations from the World."""

    def __init__(self, store: Store, settle: Settle) -> None:
        self._store, self._settle = store, settle

    @staticmethod
    def has(method: DiscoveryMethod) -> bool:
        """Return whether ``method`` is one of these."""
        return operation_verb(method) in _VERBS

    async def answer(self, match: Match, query: Mapping[str, Any]) -> Json:
        """Answer a call of one of these methods."""
        method = match.method
        path = operation_path(method, {**query, **match.parameters})
        match operation_verb(method):
            case "get":
                return render_operation(find_operation(self._store.world, method.api, path))
            case "wait":
                return render_operation(await self._wait(method.api, path))
            case "delete":
                return await self._delete(method.api, path)
            case _:
                return self._list(match, path, query)

    async def _wait(self, api: str, path: str) -> Operation:
        operation = find_operation(self._store.world, api, path)
        if operation.status != "DONE":
            await self._settle(operation.name.path, WAIT_SECONDS)
            operation = find_operation(self._store.world, api, path)
        return operation

    async def _delete(self, api: str, path: str) -> Json:
        operation = find_operation(self._store.world, api, path)
        if operation.status != "DONE":
            message = f"The operation '{path}' is not done yet."
            raise ApiError(400, message, "FAILED_PRECONDITION", "resourceNotReady")
        await self._store.commit(lambda _world: Decision((DeleteOperation(operation.name),)))
        return {}

    def _list(self, match: Match, under: str, query: Mapping[str, Any]) -> Json:
        method = match.method
        aggregated = method.name.endswith(".aggregatedList")
        if aggregated:
            under = f"projects/{match.parameters['project']}/"
        elif under and method.api != "compute" and not under.endswith("operations"):
            under = f"{under}/operations/"
        found = operations_under(self._store.world, method.api, under.replace("/-/", "/"))
        field = "items" if method.api == "compute" else "operations"
        return render_list(match, list(found) if aggregated else found, field, query)
