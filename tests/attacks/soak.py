"""A region under everything at once for minutes: requests, deploys, kills, scaling; then nothing may be left.

    .venv/bin/python -m tests.attacks.soak --seconds 600 [--seed 1]        (or: make soak)

Services are asked all the time, one of them over a connector for its visitors' number in Redis. Meanwhile one
is deployed again and again, crowds come and go, containers and Redis servers are killed, links of connectors'
machines are deleted, the clock jumps, and things are written. An answer that no user of Google would get, an
acknowledged write that is gone and whatever is left when all of it was deleted count. The exit status is 0
when all counts are 0. `make test` does not run it.
"""

import argparse
import http.client
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.attacks.soak_region import Footprint, SoakRegion, footprint

from fogbank.testing import end_region, fetch_servers, short_folder, start_region

GRACE_SECONDS = 5.0
"""How long after a kill requests to what was killed may fail."""


@dataclass
class Findings:
    """What is counted; lists of faults are to stay empty."""

    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def faults(self) -> int:
        return len(self.wrong) + len(self.lost) + len(self.left) + len(self.broken)


class Soak:
    """One run: actors in threads until the time is over."""

    def __init__(self, region: SoakRegion, seed: int) -> None:
        self.region, self.chance, self.found = region, random.Random(seed), Findings()
        self.over = threading.Event()
        self.killed: dict[str, float] = {}
        self.written: list[str] = []

    def run(self, seconds: float) -> None:
        actors: list[Callable[[], None]] = [
            *(lambda: self.ask("steady", "/", "service steady") for _ in range(2)),
            lambda: self.ask("victim", "/", "service victim"),
            self.count_visitors,
            self.deploy,
            self.crowd,
            self.kill,
            self.write,
            self.jump,
        ]
        threads = [threading.Thread(target=self._act, args=(actor,)) for actor in actors]
        for thread in threads:
            thread.start()
        self.over.wait(seconds)
        self.over.set()
        for thread in threads:
            thread.join(90)
        if any(thread.is_alive() for thread in threads):
            self.found.broken.append("an actor hangs")
        missing = set(self.written) - self.region.secrets()
        self.found.lost += sorted(missing)

    def _act(self, actor: Callable[[], None]) -> None:
        try:
            actor()
        except Exception as error:  # noqa: BLE001 - it is a finding
            self.found.broken.append(f"{actor}: {error!r}")

    def ask(self, service: str, path: str, expected: str) -> None:
        """Ask a service all the time, on a kept connection."""
        connection = self.region.connect(service)
        while not self.over.wait(self.chance.uniform(0.0, 0.02)):
            asked = time.monotonic()
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                text = answer.read().decode()
                good, what = answer.status == 200 and expected in text, f"{answer.status} {text[:80]!r}"
            except (OSError, http.client.HTTPException) as error:
                good, what = False, repr(error)
                connection.close()
            self.found.done[f"requests to {service}"] += 1
            if not good and not self._excused(service, asked):
                self.found.wrong.append(f"{time.strftime('%T')} {service}{path}: {what}")

    def _excused(self, what: str, asked: float) -> bool:
        return asked - self.killed.get(what, -1e9) < GRACE_SECONDS or self.killed.get(what, 0.0) > asked

    def count_visitors(self) -> None:
        """Each visitor has the number after the one before, unless something on the way was hurt."""
        connection, last, sure = self.region.connect("visitors"), 0, True
        while not self.over.wait(0.05):
            asked = time.monotonic()
            try:
                connection.request("GET", "/redis")
                answer = connection.getresponse()
                text = answer.read().decode()
            except (OSError, http.client.HTTPException) as error:
                text = repr(error)
                connection.close()
            self.found.done["visitors"] += 1
            excused = self._excused("redis", asked) or self._excused("connector", asked)
            number = text.removeprefix("Visitor number: ")
            good = number.isdigit() and (int(number) == last + 1 or not sure)
            if number.isdigit():
                last = int(number)
            sure = not excused
            if not good and not excused:
                self.found.wrong.append(f"{time.strftime('%T')} visitors after {last}: {text[:120]!r}")

    def deploy(self) -> None:
        """Deploy a service anew; soon the new revision answers, and nobody notices."""
        number = 0
        while not self.over.wait(self.chance.uniform(0.5, 3.0)):
            number += 1
            revision = self.region.deploy_again("steady", number)
            connection = self.region.connect("steady")
            connection.request("GET", "/")
            text = connection.getresponse().read().decode()
            connection.close()
            self.found.done["deploys"] += 1
            if f"revision {revision}" not in text:
                self.found.wrong.append(f"after {revision} was deployed: {text[-80:]!r}")

    def crowd(self) -> None:
        """Let more come at once than one instance takes; all are served."""
        while not self.over.wait(self.chance.uniform(2.0, 8.0)):
            with ThreadPoolExecutor(12) as crowd:
                answers = list(crowd.map(self.region.once, ["crowd"] * 12, ["/sleep?seconds=0.4"] * 12))
            self.found.done["crowds"] += 1
            self.found.wrong += [f"crowd: {each}" for each in answers if not each.startswith("200 ")]

    def kill(self) -> None:
        """Kill a container, a Redis server, or a link of a connector's machine."""
        kinds = {"victim": self._kill_container, "redis": self._kill_redis, "connector": self._cut_machine}
        while not self.over.wait(self.chance.uniform(1.0, 6.0)):
            name = self.chance.choices(sorted(kinds), weights=[2, 1, 3])[0]
            self.killed[name] = time.monotonic()
            self.found.done[f"kills: {name}"] += kinds[name]()
            self.killed[name] = time.monotonic()
            if name != "victim":
                self.over.wait(GRACE_SECONDS)

    def _kill_container(self) -> int:
        return self._end(self.region.containers(b"K_SERVICE=victim"))

    def _kill_redis(self) -> int:
        return self._end(self.region.programs(b"redis-server"))

    def _cut_machine(self) -> int:
        return self.region.cut_machine(self.chance)

    def _end(self, processes: list[int]) -> int:
        for process in processes[:1]:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                return 0
        return len(processes[:1])

    def write(self) -> None:
        """Write secrets; what was acknowledged stays."""
        number = 0
        while not self.over.wait(0.3):
            number += 1
            if self.region.add_secret(f"s{number}"):
                self.written.append(f"s{number}")
                self.found.done["writes"] += 1

    def jump(self) -> None:
        """Let 16 minutes pass now and then: idle instances end while others are busy."""
        while not self.over.wait(self.chance.uniform(15.0, 30.0)):
            self.region.fogbank("clock", "advance", "16m")
            self.found.done["clock jumps"] += 1


def compare(before: Footprint, after: Footprint) -> list[str]:
    """Tell what there is more of after than before."""
    return [
        f"{name}: {before.get(name, 0)} -> {count}"
        for name, count in after.items()
        if count > before.get(name, 0)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    fetch_servers("redis")
    region = SoakRegion(start_region(short_folder(), "--ephemeral"))
    began = time.monotonic()
    try:
        region.prepare()
        region.remove()  # what a first time makes (images, caches) stays
        before = footprint(region)
        region.prepare()
        soak = Soak(region, chosen.seed)
        soak.run(chosen.seconds)
        region.remove()
        after = footprint(region, like=before)
        soak.found.left += compare(before, after)
    finally:
        end_region(region.running)
    report = {
        "done": dict(sorted(soak.found.done.items())),
        "wrong answers": soak.found.wrong,
        "acknowledged writes lost": soak.found.lost,
        "left behind": soak.found.left,
        "broken": soak.found.broken,
        "before": before,
        "after": after,
        "memory, MB": [round(region.memory_before), round(region.memory_after)],
        "seconds": round(time.monotonic() - began),
    }
    print(json.dumps(report, indent=2))
    return 1 if soak.found.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
