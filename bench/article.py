"""Article 000 by real gcloud: its wall time against as many times ``gcloud version``."""

import shlex
import time
from collections.abc import Iterator, Sequence

from bench.table import Aim, Row, compare
from fogbank.testing import RunningRegion, end_region, short_folder, start_region

ARTICLE = Aim("article 000", "s", "<=", 2, "as many gcloud version")
ARTICLE_AIMS = (ARTICLE,)
ROUNDS = 3

_STEPS = """
compute networks subnets create cloud-run-subnet --range=10.124.0.0/28 --network=default
compute networks vpc-access connectors create cloud-run-connector --subnet-project=demo --subnet=cloud-run-subnet
compute routers create cloud-run-router --network=default
compute addresses create cloud-run-origin-ip
compute routers nats create cloud-run-nat --router=cloud-run-router --nat-custom-subnet-ip-ranges=cloud-run-subnet --nat-external-ip-pool=cloud-run-origin-ip
run deploy production --image=us-docker.pkg.dev/fogbank/samples/netcheck --allow-unauthenticated --vpc-connector=cloud-run-connector --vpc-egress=all-traffic
run services describe production --format=value(status.url)
"""  # noqa: E501 - as in the article
COMMANDS = tuple([*shlex.split(step), "--region=asia-northeast3"] for step in _STEPS.strip().splitlines())


def measure_article(wanted: Sequence[Aim]) -> Iterator[Row]:
    """Run the article in a fresh region each round, with a ``gcloud version`` after each command."""
    if ARTICLE not in wanted:
        return
    rounds = [_round() for _ in range(ROUNDS)]
    yield compare(ARTICLE, [article for article, _ in rounds], [version for _, version in rounds])


def _round() -> tuple[float, float]:
    region = start_region(short_folder(), "--ephemeral")
    try:
        region.gcloud("version")  # the first start writes files
        pairs = [(_seconds(region, command), _seconds(region, ["version"])) for command in COMMANDS]
    finally:
        end_region(region)
    return sum(article for article, _ in pairs), sum(version for _, version in pairs)


def _seconds(region: RunningRegion, arguments: Sequence[str]) -> float:
    started = time.perf_counter()
    region.gcloud(*arguments)
    return time.perf_counter() - started
