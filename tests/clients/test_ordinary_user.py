"""An ordinary user has a region of their own: same network, same containers, no root anywhere.

The test runs as root, in a mount namespace of its own where one more user exists; the machine's own tables
of users stay as they are.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import fogbank
from fogbank.testing import short_folder

USER, NUMBER = "fogbank-test", 54321
SCRIPT = """
set -eu
mount --make-rprivate /
mount --bind {home}/subordinate /etc/subuid
mount --bind {home}/subordinate /etc/subgid
mount --bind {home}/users /etc/passwd
mount --bind {packages} {home}/src
cd {home}
exec setpriv --reuid {number} --regid {number} --clear-groups env -i HOME={home} PYTHONPATH={home}/src \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin sh -eu -c '
fogbank() {{ {python} -m fogbank.cli "$@"; }}
fogbank up --detach --port 0 >&2
trap "fogbank down >&2" EXIT
fogbank exec -- gcloud run deploy netcheck --image=us-docker.pkg.dev/fogbank/samples/netcheck \
    --allow-unauthenticated >&2
url=$(fogbank exec -- gcloud run services describe netcheck --format="value(status.url)")
fogbank exec -- curl -sS "$url/egress?url=http://ifconfig.me"
fogbank trace run/netcheck http://ifconfig.me --probe >&2
'
"""


@pytest.mark.netns
@pytest.mark.slow(4)
def test_an_ordinary_user_deploys_a_service_whose_egress_is_seen_and_predicted() -> None:
    home = short_folder()
    (home / "subordinate").write_text(f"{USER}:300000:65536\n")
    users = Path("/etc/passwd").read_text()
    (home / "users").write_text(f"{users}{USER}:x:{NUMBER}:{NUMBER}::{home}:/bin/sh\n")
    (home / "src").mkdir()
    subprocess.run(["chown", "-R", f"{NUMBER}:{NUMBER}", home], check=True)
    packages = Path(fogbank.__file__).parent.parent
    script = SCRIPT.format(home=home, number=NUMBER, packages=packages, python=sys.executable)
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["ok"], answer
    assert answer["body"].startswith("198.51.100.")
    subprocess.run(["rm", "-rf", home], check=True)
