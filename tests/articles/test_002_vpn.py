"""Article 002's VPN: an office reaches a private machine by its internal address, through an IPsec tunnel."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.loaded_gcloud import LoadedRegion, load_gcloud
from tests.processes import below
from tests.waiting import wait_until

from fogbank.testing import end_region, fetch_servers, short_folder, start_region

AN1 = "asia-northeast1"
WHERE = f"--region={AN1}"
PATIENCE = 60.0
SERVE = "cd /tmp; echo private > index.html; python3 -m http.server 80 &"
LISTEN = """
import socket, time
ear = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
ear.bind(("eth0", 0))
print("ready", flush=True)
for _ in range(10):
    packet = ear.recv(2048)
    head = (packet[0] & 15) * 4
    print(packet[9], int.from_bytes(packet[head + 2 : head + 4], "big"), packet[12:16].hex(), flush=True)
"""

pytestmark = [
    pytest.mark.slow(45),
    pytest.mark.timeout(300),
    pytest.mark.netns,
    pytest.mark.xdist_group("machines"),
]


class Joined:
    """The network ``corp`` with the private machine ``vm``, the gateway ``gw``, and an office."""

    def __init__(self, region: LoadedRegion) -> None:
        self.region = region
        region.fogbank("onprem", "add", "office", "--range=192.168.0.0/24", "--address=192.0.2.77")
        self.compute("networks", "create", "corp", "--subnet-mode=custom")
        self.compute(
            "networks", "subnets", "create", "private", "--network=corp", "--range=10.10.1.0/24", WHERE
        )
        self.compute(
            "instances", "create", "vm", "--subnet=private", f"--zone={AN1}-a", "--machine-type=e2-small",
            "--no-address", f"--metadata=startup-script={SERVE}",
        )  # fmt: skip
        self.compute(
            "firewall-rules", "create", "from-office", "--network=corp", "--allow=tcp:80-81,icmp",
            "--source-ranges=192.168.0.0/24",
        )  # fmt: skip

    def compute(self, *command: str) -> str:
        return self.region.gcloud("compute", *command).stdout

    def gateway(self) -> str:
        """Make the classic gateway; return its address."""
        self.compute("target-vpn-gateways", "create", "gw", "--network=corp", WHERE)
        self.compute("addresses", "create", "gw-ip", WHERE)
        address = self.compute("addresses", "describe", "gw-ip", WHERE, "--format=value(address)").strip()
        for name, flags in (
            ("esp", ["ESP"]),
            ("ike", ["UDP", "--ports=500"]),
            ("nat", ["UDP", "--ports=4500"]),
        ):
            protocol, *ports = flags
            self.compute(
                "forwarding-rules", "create", name, f"--ip-protocol={protocol}", *ports,
                f"--address={address}", "--target-vpn-gateway=gw", WHERE,
            )  # fmt: skip
        return address

    def status(self) -> str:
        return self.compute("vpn-tunnels", "describe", "tun", WHERE, "--format=value(status)").strip()

    def from_office(self) -> str:
        """Fetch the machine's page from the office's host; empty when there is none."""
        named = {"XDG_STATE_HOME": str(self.region.home / "state"), "FOGBANK_NAME": self.region.name}
        fetch = ("curl", "-s", "-m", "2", "http://10.10.1.2/")
        command = [sys.executable, "-m", "fogbank.cli", "onprem", "exec", "office", "--", *fetch]
        environment = os.environ | named
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout

    def trace(self, source: str, url: str) -> Any:
        return json.loads(self.region.fogbank("trace", source, url, "--probe", "--format=json"))

    def charon(self) -> int:
        """Find the process of the gateway's charon."""
        status = json.loads(self.region.fogbank("status", "--format=json"))
        for process in below(int(status["pid"])):
            with suppress(OSError):  # it has ended just now
                words = Path(f"/proc/{process}/cmdline").read_bytes()
                if (
                    words.startswith(b"/usr/lib/ipsec/charon")
                    and b"INNER=eth1" in Path(f"/proc/{process}/environ").read_bytes()
                ):
                    return process
        pytest.fail("the gateway has no charon")


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Joined]:
    fetch_servers("machine", "vpn")
    running = start_region(short_folder(), "--ephemeral", "--region", AN1)
    with load_gcloud(tmp_path_factory.mktemp("gcloud")) as gcloud:
        made = Joined(LoadedRegion(running.name, running.home, running.environment, gcloud))
        assert made.from_office() == "", "there is no tunnel yet"
        address = made.gateway()
        made.compute(
            "vpn-tunnels", "create", "tun", "--peer-address=192.0.2.77", "--shared-secret=hush",
            "--ike-version=2", "--target-vpn-gateway=gw", "--local-traffic-selector=10.10.1.0/24",
            "--remote-traffic-selector=192.168.0.0/24", WHERE,
        )  # fmt: skip
        made.compute(
            "routes", "create", "to-office", "--network=corp", "--destination-range=192.168.0.0/24",
            "--next-hop-vpn-tunnel=tun", f"--next-hop-vpn-tunnel-region={AN1}",
        )  # fmt: skip
        assert made.status() == "FIRST_HANDSHAKE"
        running.fogbank(
            "onprem", "connect", "office", address, "--secret=hush", "--remote-range=10.10.1.0/24"
        )
        wait_until(lambda: made.status() == "ESTABLISHED", PATIENCE)
        wait_until(lambda: made.from_office() == "private\n", PATIENCE)
        yield made
    end_region(running)


def test_both_sides_reach_one_another_by_internal_addresses_and_prediction_agrees(joined: Joined) -> None:
    there = joined.trace("compute/vm", "http://192.168.0.10/")
    assert there["predicted"]["disposition"] == "DELIVERED"
    assert there["observed"]["verdict"] == "connected"
    back = joined.trace("onprem/office", "http://10.10.1.2:81/")
    assert back["observed"]["verdict"] == "refused"
    assert there["differences"] == back["differences"] == []
    assert {each["sourceIp"] for each in joined.region.site_access_log("web.office.onprem")} == {"10.10.1.2"}


def test_without_the_firewall_rule_nobody_from_the_office_gets_in(joined: Joined) -> None:
    joined.compute("firewall-rules", "update", "from-office", "--disabled")
    wait_until(lambda: joined.from_office() == "", PATIENCE)
    blocked = joined.trace("onprem/office", "http://10.10.1.2/")
    assert blocked["predicted"]["disposition"] == "DROPPED: FIREWALL_RULE"
    assert blocked["differences"] == []
    joined.compute("firewall-rules", "update", "from-office", "--no-disabled")
    wait_until(lambda: joined.from_office() == "private\n", PATIENCE)


def test_on_the_internet_there_is_nothing_but_esp_in_udp(joined: Joined) -> None:
    command = ["nsenter", "--net", f"--target={joined.charon()}", sys.executable, "-c", LISTEN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listening:
        assert listening.stdout
        assert listening.stdout.readline() == "ready\n"
        for _ in range(3):
            assert joined.from_office() == "private\n"
        seen = [line.split() for line in listening.stdout]
    assert {(protocol, port) for protocol, port, _ in seen} == {("17", "4500")}
    assert {bytes.fromhex(source) for _, _, source in seen} <= {
        bytes([192, 0, 2, 77]),
        bytes([203, 0, 113, 1]),
    }


def test_a_gateway_whose_program_is_killed_comes_back_and_says_so(joined: Joined) -> None:
    def told() -> list[str]:
        return re.findall(
            "program exited|tunnel .* is (?:up|down)", joined.region.fogbank("logs", "vpn/gw/0")
        )

    before = len(told())
    os.kill(joined.charon(), signal.SIGKILL)
    # Whether its end or its tunnel's is noticed first depends on which socket is read first.
    wait_until(lambda: any(each.endswith("is up") for each in told()[before:]), PATIENCE)
    assert "program exited" in told()[before:]
    wait_until(lambda: joined.status() == "ESTABLISHED", PATIENCE)
    wait_until(lambda: joined.from_office() == "private\n", PATIENCE)


def test_a_wrong_secret_is_told_and_takes_the_way_along(joined: Joined) -> None:
    address = joined.compute("addresses", "describe", "gw-ip", WHERE, "--format=value(address)").strip()
    connect = ("onprem", "connect", "office", address, "--remote-range=10.10.1.0/24")
    joined.region.fogbank(*connect, "--secret=other")
    wait_until(lambda: joined.status() == "AUTHORIZATION_ERROR", PATIENCE)
    assert joined.trace("compute/vm", "http://192.168.0.10/")["observed"]["verdict"] != "connected"
    joined.region.fogbank(*connect, "--secret=hush")
    wait_until(lambda: joined.status() == "ESTABLISHED", PATIENCE)
