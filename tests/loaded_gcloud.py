"""The real gcloud without its start: for tests of many commands. See tests/gcloud_server.py.

Articles, tutorials, the demo and the tests of credentials run ``gcloud`` as people do, a process a command.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fogbank.testing import RunningRegion

SERVER = Path(__file__).with_name("gcloud_server.py")


class LoadedGcloud:
    """A process that runs gcloud's commands in forks, one at a time; ``folder`` keeps what one printed."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        assert process.stdin
        assert process.stdout
        self._ask: IO[str] = process.stdin
        self._answers: IO[str] = process.stdout
        self._out, self._err = folder / "stdout", folder / "stderr"
        assert self._answers.readline() == "ready\n", "gcloud could not be loaded"

    def run(
        self, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> "subprocess.CompletedProcess[str]":
        """Run one command."""
        job = {"arguments": arguments, "environment": dict(environment)}
        places = {"stdout": str(self._out), "stderr": str(self._err)}
        self._ask.write(json.dumps(job | places) + "\n")
        self._ask.flush()
        status = int(self._answers.readline())
        return subprocess.CompletedProcess(
            ["gcloud", *arguments], status, self._out.read_text(), self._err.read_text()
        )


@contextmanager
def load_gcloud(folder: Path) -> Iterator[LoadedGcloud]:
    """Load gcloud by its own script, which finds its Python and modules."""
    program = shutil.which("gcloud")
    assert program, "gcloud is not on PATH, and these tests run the real one"
    environment = os.environ | {"CLOUDSDK_PYTHON_ARGS": f"-S {SERVER}", "PYTHONDONTWRITEBYTECODE": "1"}
    environment["STARTED_WITH"] = " ".join([*environment, "STARTED_WITH"])
    with subprocess.Popen(
        [program], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield LoadedGcloud(process, folder)
        assert process.stdin
        process.stdin.close()


@dataclass
class LoadedRegion(RunningRegion):
    """A region whose ``gcloud`` is loaded already."""

    loaded: LoadedGcloud | None = None

    def gcloud(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run gcloud against the region."""
        assert self.loaded
        done = self.loaded.run(arguments, self.environment)
        if check and done.returncode != 0:
            words = " ".join(done.args)
            raise AssertionError(f"{words}\nended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def make_vpc(self, region: str) -> None:
        """Make the network ``vpc`` with the subnetwork ``direct``."""
        self.gcloud("compute", "networks", "create", "vpc", "--subnet-mode=custom")
        self.gcloud(
            "compute", "networks", "subnets", "create", "direct", "--network=vpc",
            "--range=10.8.0.0/26", f"--region={region}",
        )  # fmt: skip

    def deploy_into_vpc(self, region: str) -> None:
        """Deploy the service ``web``, all of whose egress goes through ``direct``."""
        self.gcloud(
            "run", "deploy", "web", "--image=us-docker.pkg.dev/fogbank/samples/netcheck",
            f"--region={region}", "--network=vpc", "--subnet=direct", "--vpc-egress=all-traffic",
            "--min-instances=1", "--allow-unauthenticated",
        )  # fmt: skip
