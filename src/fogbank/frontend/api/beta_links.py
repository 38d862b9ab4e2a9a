"""Links of compute in the version that the caller speaks: ``compute/beta/…`` for a caller of beta.

Resources are stored with the links of v1. A call of beta or alpha gets its links translated on the way out,
and those in its filter on the way in; bodies may refer to resources in any version anyway.
"""

from collections.abc import Mapping
from typing import Any

from fogbank.resources.names import COMPUTE_PREFIX

_HOST = COMPUTE_PREFIX.removesuffix("v1/")


def with_version(answer: Any, version: str) -> Any:
    """Give every link of an answer ``version`` (``beta``)."""
    match answer:
        case dict():
            return {key: with_version(each, version) for key, each in answer.items()}
        case list():
            return [with_version(each, version) for each in answer]
        case str() if answer.startswith(COMPUTE_PREFIX):
            return f"{_HOST}{version}/{answer.removeprefix(COMPUTE_PREFIX)}"
        case _:
            return answer


def without_version(query: Mapping[str, Any], version: str) -> Mapping[str, Any]:
    """Give the links in a query's filter the version that resources are stored with."""
    if "filter" not in query:
        return query
    return {**query, "filter": str(query["filter"]).replace(f"{_HOST}{version}/", COMPUTE_PREFIX)}
