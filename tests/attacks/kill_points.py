"""kill -9 at many random points, while writes go on and while `fogbank up` starts; counts what went wrong.

    .venv/bin/python -m tests.attacks.kill_points --points 200 [--seed 1] [--instances 3]

At each point either the region's outermost process is killed, or `fogbank up` itself while it starts one. The
next start must succeed, at once and on the same port, and must have every write that was acknowledged. At the
end nothing may be left on the host. The exit status is 0 when all counts are 0. `make test` does not run it.
"""

import argparse
import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.attacks.acknowledged_writes import KINDS
from tests.stand_in_host import StandInHost, groups

from fogbank.frontend.client_environment import applied
from fogbank.testing import RunningRegion, fetch_servers, short_folder

REDIS = "https://redis.googleapis.com/v1/projects/demo/locations/asia-northeast3/instances"
RUN = "https://run.googleapis.com/v2/projects/demo/locations/asia-northeast3/services"
NETCHECK = "us-docker.pkg.dev/fogbank/samples/netcheck"
START_SECONDS = 60.0
GONE_SECONDS = 10.0


@dataclass
class Counts:
    points: int = 0
    writes: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    failed_starts: list[str] = field(default_factory=list)
    unstoppable: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)

    def report(self) -> dict[str, object]:
        return {
            "points": self.points,
            "acknowledged writes": self.writes,
            "acknowledged writes lost": self.lost,
            "starts that failed": self.failed_starts,
            "regions that no command could stop": self.unstoppable,
            "leftovers on the host": self.leftovers,
        }


class Writer(threading.Thread):
    """Writes things of one kind until the region dies, and notes those that were acknowledged."""

    def __init__(self, region: RunningRegion, turn: int, kind: str, known: list[str]) -> None:
        super().__init__(daemon=True)
        self._region, self._turn, self._kind, self._known = region, turn, kind, known

    def run(self) -> None:
        number = 0
        with contextlib.suppress(OSError, ValueError):
            while True:
                number += 1
                name = f"{self._kind}-{self._turn}-{number}"
                if KINDS[self._kind].write(self._region, name):
                    self._known.append(name)


class Attack:
    def __init__(self, seed: int, instances: int) -> None:
        self.chance = random.Random(seed)
        self.instances = instances
        self.region = RunningRegion(f"kill-{secrets.token_hex(4)}", short_folder())
        self.root = self.region.home / "state/fogbank" / self.region.name
        self.port = free_port()
        self.known: dict[str, list[str]] = {kind: [] for kind in KINDS}
        self.counts = Counts()
        self.host = StandInHost()
        self.host.groups = groups()

    def run(self, points: int) -> Counts:
        before = self._host()
        try:
            self._attack(points)
        finally:
            self._down("the end")
            shutil.rmtree(self.region.home)
        after = self._host()
        self.counts.leftovers += [f"{key}: {after[key]}" for key in before if before[key] != after[key]]
        return self.counts

    def _attack(self, points: int) -> None:
        self._up()
        self._point_clients_at_it()
        self._deploy()
        for turn in range(points):
            if turn % 4 == 3:
                self._kill_up(turn)
            else:
                self._kill_region(turn)
            self._start_again(turn)
            self.counts.points += 1
        self.counts.writes = {kind: len(known) for kind, known in self.known.items()}

    def _kill_region(self, turn: int) -> None:
        """Kill a region that serves, while a client writes."""
        writers = [Writer(self.region, turn, kind, known) for kind, known in self.known.items()]
        for writer in writers:
            writer.start()
        time.sleep(self.chance.uniform(0.0, 1.0))
        os.kill(int(json.loads((self.root / "running.json").read_text())["pid"]), signal.SIGKILL)
        for writer in writers:
            writer.join(30)

    def _kill_up(self, turn: int) -> None:
        """End the region, kill `up` while it starts the next, then let `down` or time end what was begun."""
        self._down(f"point {turn}")
        starting = subprocess.Popen(
            [*FOGBANK, "up", "--detach", *self._name(), "--port", str(self.port)],
            env=self.region._own_environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(self.chance.uniform(0.0, 1.2))
        starting.kill()
        starting.wait()
        if self.chance.random() < 0.5:
            return  # the next start has to cope with whatever there is
        time.sleep(self.chance.uniform(0.0, 1.0))
        self._down(f"point {turn}, after up was killed")

    def _start_again(self, turn: int) -> None:
        done = self._up()
        if done.returncode and "already up" not in done.stderr:
            self.counts.failed_starts.append(f"point {turn}: {done.stderr.strip()}")
            return
        for kind, known in self.known.items():
            try:
                present = KINDS[kind].present(self.region, known)
            except (OSError, ValueError, LookupError) as error:
                self.counts.failed_starts.append(f"point {turn}: {kind}: it does not answer: {error!r}")
                return
            self.counts.lost += sorted(f"point {turn}: {name}" for name in set(known) - present)

    def _up(self) -> subprocess.CompletedProcess[str]:
        return self._fogbank("up", "--detach", *self._name(), "--port", str(self.port))

    def _down(self, when: str) -> None:
        self._fogbank("down", *self._name())
        if left := self._processes():
            self.counts.unstoppable.append(f"{when}: {left}")

    def _deploy(self) -> None:
        """Have containers of a service and a server run at each start, so that they are killed, too."""
        for kind in KINDS.values():
            kind.prepare(self.region)
        redis = {"tier": "BASIC", "memorySizeGb": 1}
        status, answer = self.region.api("POST", f"{REDIS}?instanceId=lasting", redis)
        assert status == 200, answer
        template = {"containers": [{"image": NETCHECK}], "scaling": {"minInstanceCount": self.instances}}
        status, answer = self.region.api("POST", f"{RUN}?serviceId=lasting", {"template": template})
        assert status == 200, answer
        time.sleep(2)

    def _point_clients_at_it(self) -> None:
        printed = json.loads(self.region.fogbank("env", "--format", "json"))
        self.region.environment = applied(printed, os.environ)

    def _fogbank(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*FOGBANK, *words],
            env=self.region._own_environment(),
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )

    def _name(self) -> tuple[str, ...]:
        return "--name", self.region.name

    def _processes(self) -> list[str]:
        """List what runs of this region, crun and containers included; wait a moment for what is ending."""
        deadline = time.monotonic() + GONE_SECONDS
        while (found := running(self.region.name)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def _host(self) -> dict[str, object]:
        """What this machine has that a region could have left; other work may go on beside."""
        device = Path("/dev/null").stat()
        return {
            **self.host.state(),
            "processes": running(self.region.name),
            "/tmp/crun.*": sorted(str(path) for path in Path("/tmp").glob("crun.*")),
            "/dev/shm": sorted(path.name for path in Path("/dev/shm").iterdir()),
            "/dev/null": (device.st_mode, device.st_uid, device.st_gid),
        }


FOGBANK = (sys.executable, "-m", "fogbank.cli")


def running(name: str) -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes() if process.name.isdigit() else b""
            if name.encode() in command and b"fogbank.app" in command:
                found.append(f"{process.name}: {command[:80]!r}")
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--instances", type=int, default=3)
    chosen = parser.parse_args()
    fetch_servers("redis")
    started = time.monotonic()
    counts = Attack(chosen.seed, chosen.instances).run(chosen.points)
    print(json.dumps(counts.report() | {"seconds": round(time.monotonic() - started)}, indent=2))
    wrong = (*counts.lost, *counts.failed_starts, *counts.unstoppable, *counts.leftovers)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
