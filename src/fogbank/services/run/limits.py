"""The CPU and the memory that one instance may have, and which of them go together; the same for both APIs.

`template` asks here before a template becomes a revision. What surprises: from four CPUs on memory has a
least too, and an instance with a part of one CPU takes one request at a time.
"""

from fogbank.errors import not_built
from fogbank.resources.quantities import memory_bytes, parse_quantity
from fogbank.resources.world import Json
from fogbank.services.run.objects import bad_request

_MEMORY = {
    80: ("128Mi", "512Mi"),
    500: ("128Mi", "1Gi"),
    1000: ("128Mi", "4Gi"),
    2000: ("128Mi", "8Gi"),
    4000: ("2Gi", "16Gi"),
    6000: ("4Gi", "24Gi"),
    8000: ("4Gi", "32Gi"),
}
"""The least and the most memory of an instance, from so many thousandths of a CPU on."""

_SMALL = (
    "spec.template.spec.containers.resources.limits.cpu: Invalid value specified for cpu. "
    "Total cpu < 1 is not supported with concurrency > 1."
)

_MOST_CPU, _MOST_MEMORY = 8000, "32Gi"
"""What the containers of one instance may have together (https://cloud.google.com/run/quotas)."""


def check_all_limits(limits: list[Json], concurrency: int) -> None:
    """Refuse the limits of an instance's containers: each by itself, and what they come to together."""
    alone = len(limits) == 1
    for index, each in enumerate(limits):
        where = f"spec.template.spec.containers[{index}].resources.limits"
        check_limits(each, concurrency if alone else 1, where)
    cpu = sum(parse_quantity(each["cpu"]) * 1000 for each in limits)
    memory = sum(memory_bytes(each["memory"]) for each in limits)
    if cpu < 1000 and concurrency > 1:
        raise bad_request(_SMALL)
    if cpu > _MOST_CPU or memory > memory_bytes(_MOST_MEMORY):
        raise bad_request(
            "spec.template.spec.containers.resources.limits: The containers of an instance may have at most "
            f"{_MOST_CPU // 1000} CPU and {_MOST_MEMORY} of memory together."
        )


def check_limits(limits: Json, concurrency: int, where: str) -> None:
    """Refuse (ApiError) limits that no instance has, or that do not go with ``concurrency``.

    ``limits`` are quantities, both there: ``{"cpu": "500m", "memory": "512Mi"}``. The rules are those of
    cloud.google.com/run/docs/configuring/services/cpu, the words those of recorded refusals.
    """
    if others := limits.keys() - {"cpu", "memory"}:
        raise not_built(f"resource limits {', '.join(sorted(others))} of Cloud Run")
    try:
        millis, memory = parse_quantity(limits["cpu"]) * 1000, memory_bytes(limits["memory"])
    except ValueError as error:
        raise bad_request(f"Invalid value specified for container resources: {error}.") from None
    # In thousandths, as the page has it today: Cloud Functions deploys with 0.083 and 0.333.
    part_of_one = 80 <= millis < 1000 and millis % 1 == 0
    if not part_of_one and millis not in _MEMORY:
        raise bad_request(
            f"{where}.cpu: Invalid value specified for container cpu. "
            "Must be equal to one of [.08-1], 1.0, 2.0, 4.0, 6.0, 8.0"
        )
    if part_of_one and concurrency > 1:
        raise bad_request(_SMALL)
    least, most = _MEMORY[max(enough for enough in _MEMORY if enough <= millis)]
    if not memory_bytes(least) <= memory <= memory_bytes(most):
        raise bad_request(
            f"{where}.memory: Invalid value specified for container memory. "
            f"For {float(millis / 1000)} CPU, memory must be between {least} and {most} inclusive."
        )
