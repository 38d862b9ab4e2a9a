"""Requests at once bring instances, up to the maximum; time without requests takes them away."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from fogbank.testing import RunningRegion

pytestmark = [pytest.mark.slow(10), pytest.mark.netns]


def instances(region: RunningRegion) -> list[str]:
    status = json.loads(region.fogbank("status", "--format", "json"))
    return [i["state"] for i in status["instances"] if "/revisions/crowded-" in i["revision"]]


def test_three_requests_at_once_get_three_instances_and_later_none_is_left(
    new_region: Callable[..., RunningRegion],
) -> None:
    region = new_region("--ephemeral")
    region.gcloud(
        "run", "deploy", "crowded", "--image=us-docker.pkg.dev/fogbank/samples/netcheck",
        "--allow-unauthenticated", "--concurrency=1", "--max-instances=3",
    )  # fmt: skip
    url = region.gcloud("run", "services", "describe", "crowded", "--format=value(status.url)").stdout.strip()
    assert instances(region) == ["ready"]
    with ThreadPoolExecutor(3) as crowd:
        started = time.monotonic()
        answers = list(crowd.map(region.curl, [f"{url}/sleep?seconds=1.5"] * 3))
        assert time.monotonic() - started < 4, "they were served one after another"
    assert len(answers) == 3
    assert instances(region) == ["ready"] * 3
    region.fogbank("clock", "advance", "20m")
    assert instances(region) == []
    assert "service crowded" in region.curl(url)
    assert "ready" in instances(region)
    region.gcloud("run", "services", "delete", "crowded", "--quiet")
    assert instances(region) == []
