"""Tries the ways out in a container of the world of whoever runs this; prints who that is
and what each one met, as JSON.

    python -m tests.attacks.inside_a_container FOLDER

The world is made as `fogbank up` makes it, so an ordinary user gets that of an ordinary user. ``FOLDER`` is
for images.
"""

import json
import os
import sys
from pathlib import Path

from tests.attacks.containers import netcheck_with_ctypes, try_all
from tests.dataplane.test_containers import setup

from fogbank.dataplane.linux import world

INSIDE = "FOGBANK_TEST_INSIDE"


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    if INSIDE not in os.environ:
        command = [*world.unshare_command(), sys.executable, "-B", "-m", "tests.attacks.inside_a_container"]
        os.execvpe(command[0], [*command, str(folder)], os.environ | {INSIDE: "1"})
    world.prepare()
    images = netcheck_with_ctypes(folder)
    with setup(folder, images) as here:
        owner = int(Path("/proc/self/uid_map").read_text().split()[1])
        print(json.dumps({"owner": owner, "met": try_all(here)}))


if __name__ == "__main__":
    main()
