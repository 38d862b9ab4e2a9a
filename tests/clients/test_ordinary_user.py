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
