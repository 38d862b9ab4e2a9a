"""An ordinary user has a region of their own: same network, same containers, no root anywhere."""

import json
import sys

import pytest
from tests.ordinary_user import ordinary_user

SCRIPT = """
fogbank() {{ {python} -m fogbank.cli "$@"; }}
fogbank up --detach --port 0 >&2
trap "fogbank down >&2" EXIT
fogbank exec -- gcloud run deploy netcheck --image=us-docker.pkg.dev/fogbank/samples/netcheck \
    --allow-unauthenticated >&2
url=$(fogbank exec -- gcloud run services describe netcheck --format="value(status.url)")
fogbank exec -- curl -sS "$url/egress?url=http://ifconfig.me"
fogbank trace run/netcheck http://ifconfig.me --probe >&2
"""


@pytest.mark.netns
@pytest.mark.slow(4)
def test_an_ordinary_user_deploys_a_service_whose_egress_is_seen_and_predicted() -> None:
    with ordinary_user() as user:
        done = user.run("sh", "-eu", "-c", SCRIPT.format(python=sys.executable))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["ok"], answer
    assert answer["body"].startswith("198.51.100.")


REDIS_SCRIPT = """
fogbank() {{ {python} -m fogbank.cli "$@"; }}
fogbank images fetch redis >&2
fogbank up --detach --port 0 >&2
trap "fogbank down >&2" EXIT
fogbank exec -- gcloud redis instances create cache --size=1 --region=asia-northeast3 >&2
fogbank exec -- gcloud run deploy netcheck --image=us-docker.pkg.dev/fogbank/samples/netcheck \
    --network=default --subnet=default --allow-unauthenticated >&2
url=$(fogbank exec -- gcloud run services describe netcheck --format="value(status.url)")
host=$(fogbank exec -- gcloud redis instances describe cache --region=asia-northeast3 --format="value(host)")
fogbank exec -- curl -sS "$url/redis?host=$host&command=INCR%20counter"
"""


@pytest.mark.netns
@pytest.mark.slow(8)
def test_an_ordinary_user_fetches_and_runs_a_redis_server() -> None:
    with ordinary_user() as user:
        done = user.run("sh", "-eu", "-c", REDIS_SCRIPT.format(python=sys.executable))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["reply"] == 1
