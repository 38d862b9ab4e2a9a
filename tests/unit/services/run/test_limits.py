"""CPU and memory of an instance: what there is, what goes together, and Google's words for the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cloud_calls import PLACE, REGION
from tests.unit.services.run.knative import NAMESPACE, SERVICES, Run, knative

from fogbank.errors import ApiError
from fogbank.resources.quantities import memory_bytes
from fogbank.services.run.limits import check_all_limits

MEMORY = {
    "0.08": ("128Mi", "512Mi"),
    "499m": ("128Mi", "512Mi"),
    "0.5": ("128Mi", "1Gi"),
    "999m": ("128Mi", "1Gi"),
    "1": ("128Mi", "4Gi"),
    "2000m": ("128Mi", "8Gi"),
    "4": ("2Gi", "16Gi"),
    "6": ("4Gi", "24Gi"),
    "8": ("4Gi", "32Gi"),
}
CPU = "spec.template.spec.containers[0].resources.limits.cpu: Invalid value specified for"
SIZE = (
    "spec.template.spec.containers[0].resources.limits.memory: Invalid value specified for container memory."
)
TOTAL = "spec.template.spec.containers.resources.limits.cpu: Invalid value specified for cpu."
SIZES = st.integers(memory_bytes("128Mi"), memory_bytes("32Gi"))


def fits(cpu, memory):
    try:
        check_all_limits([{"cpu": cpu, "memory": memory}], 1)
    except ApiError:
        return False
    return True


@given(SIZES)
def test_for_every_amount_of_memory_there_is_a_cpu(size):
    assert any(fits(cpu, str(size)) for cpu in MEMORY)


@given(st.sampled_from(tuple(MEMORY)), st.tuples(SIZES, SIZES, SIZES).map(sorted))
def test_what_lies_between_two_amounts_that_fit_fits_too(cpu, sizes):
    least, between, most = sizes
    assert fits(cpu, str(between)) or not (fits(cpu, str(least)) and fits(cpu, str(most)))


@given(st.integers(80, 999))
def test_every_thousandth_of_a_cpu_from_eighty_on_may_be_had(millis):
    assert fits(f"{millis}m", "512Mi")


@pytest.mark.parametrize("cpu", MEMORY)
def test_memory_has_a_least_and_a_most_for_each_cpu(cpu):
    least, most = (memory_bytes(text) for text in MEMORY[cpu])
    assert [fits(cpu, str(size)) for size in (least - 1, least, most, most + 1)] == [False, True, True, False]


@pytest.mark.parametrize("cpu", ["0", "79m", "0.0805", "1.5", "1001m", "3", "5", "7", "9"])
def test_other_cpus_do_not_exist(cpu):
    assert not fits(cpu, "4Gi")


@pytest.mark.parametrize(
    ("cpu", "memory", "concurrency", "message"),
    [
        ("3", "4Gi", 80, f"{CPU} container cpu. Must be equal to one of [.08-1], 1.0, 2.0, 4.0, 6.0, 8.0"),
        ("8", "2Gi", 80, f"{SIZE} For 8.0 CPU, memory must be between 4Gi and 32Gi inclusive."),
        ("83m", "128M", 1, f"{SIZE} For 0.083 CPU, memory must be between 128Mi and 512Mi inclusive."),
        ("500m", "512Mi", 2, f"{TOTAL} Total cpu < 1 is not supported with concurrency > 1."),
    ],
)
def test_the_refusals_have_googles_words(cpu, memory, concurrency, message):
    with pytest.raises(ApiError) as refused:
        check_all_limits([{"cpu": cpu, "memory": memory}], concurrency)
    assert (refused.value.code, refused.value.message) == (400, message)


def test_both_apis_refuse_a_part_of_a_cpu_for_many_requests():
    cloud = Run()
    container = {"image": "us-docker.pkg.dev/p/r/app", "resources": {"limits": {"cpu": "0.5"}}}
    v1 = knative(container=container, containerConcurrency=80)
    v2 = {"template": {"containers": [container], "maxInstanceRequestConcurrency": 80}}
    refusals = (
        cloud.refused(f"{SERVICES}.create", v1, parent=NAMESPACE, location=REGION),
        cloud.refused("run.v2.projects.locations.services.create", v2, parent=PLACE, serviceId="hello"),
    )
    assert all("Total cpu < 1 is not supported" in refusal.message for refusal in refusals)
    del v1["spec"]["template"]["spec"]["containerConcurrency"]
    assert cloud.create(v1)["spec"]["template"]["spec"]["containerConcurrency"] == 1
