"""A gcloud that has been loaded already: it runs in gcloud's own Python, started by gcloud's own script.

Every line of standard input is a command with its environment, as JSON. A fork of this process runs it: the
same modules, the same ``main``, and nothing is kept from one command to the next. The answer is its status.
Nine tenths of a second of processor time, of which most is the loading of modules, become a quarter.
"""

import importlib
import json
import os
import sys
from pathlib import Path

MODULES = (
    "googlecloudsdk.gcloud_main",
    "googlecloudsdk.core.credentials.creds_context_managers",
    "googlecloudsdk.core.updater.local_state",
    "googlecloudsdk.calliope.base",
    "googlecloudsdk.api_lib.run.service",
    "googlecloudsdk.generated_clients.apis.compute.v1.compute_v1_client",
    "googlecloudsdk.generated_clients.apis.run.v1.run_v1_client",
)


def main() -> None:
    """Load gcloud, say so, and run commands until standard input ends."""
    script = next(Path(each) for each in sys.argv if each.endswith("gcloud.py"))
    own = {
        name: value for name, value in os.environ.items() if name not in os.environ["STARTED_WITH"].split()
    }
    sys.path[:0] = [str(script.parent / "third_party"), str(script.parent)]
    gcloud_main, *_ = [importlib.import_module(each) for each in MODULES]
    print("ready", flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            os.environ.clear()
            os.environ.update(own | job["environment"])
            _run(gcloud_main.main, job)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _run(command, job) -> None:
    """Run one command in this fork, and end it."""
    status = 1
    try:
        silence = os.open(os.devnull, os.O_RDONLY)
        for number, opened in enumerate([silence, *map(_open, (job["stdout"], job["stderr"]))]):
            os.dup2(opened, number)
        sys.stdin = os.fdopen(0)
        sys.argv = ["gcloud", *job["arguments"]]
        command()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)


if __name__ == "__main__":
    main()
