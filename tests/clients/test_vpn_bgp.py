"""An HA VPN with two tunnels and BGP: sessions of real daemons, learned and advertised routes, failover."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.loaded_gcloud import LoadedRegion, load_gcloud
from tests.waiting import wait_until

from fogbank.testing import end_region, fetch_servers, short_folder, start_region

AN1 = "asia-northeast1"
WHERE = f"--region={AN1}"
PATIENCE = 60.0

pytestmark = [pytest.mark.slow(45), pytest.mark.netns, pytest.mark.xdist_group("machines")]


class Pair:
    """The network ``corp`` with the machine ``vm``, and an office behind two tunnels of gateway ``ha``."""

    def __init__(self, region: LoadedRegion) -> None:
        self.region = region
        region.fogbank("onprem", "add", "office", "--range=192.168.0.0/24", "--address=192.0.2.77")
        self.compute("networks", "create", "corp", "--subnet-mode=custom")
        self.compute(
            "networks", "subnets", "create", "private", "--network=corp", "--range=10.10.1.0/24", WHERE
        )
        self.compute(
            "instances", "create", "vm", "--subnet=private", f"--zone={AN1}-a", "--machine-type=e2-small",
            "--no-address",
        )  # fmt: skip
        self.compute("vpn-gateways", "create", "ha", "--network=corp", WHERE)
        found = json.loads(self.compute("vpn-gateways", "describe", "ha", WHERE, "--format=json"))
        self.addresses = [each["ipAddress"] for each in found["vpnInterfaces"]]
        self.compute("external-vpn-gateways", "create", "office", "--interfaces=0=192.0.2.77")
        self.compute("routers", "create", "rt", "--network=corp", "--asn=64512", WHERE)
        for number in range(2):
            self.tunnel(number)
            self.connect(number)

    def compute(self, *command: str) -> str:
        return self.region.gcloud("compute", *command).stdout

    def tunnel(self, number: int) -> None:
        self.compute(
            "vpn-tunnels", "create", f"tun{number}", "--peer-external-gateway=office",
            "--peer-external-gateway-interface=0", "--shared-secret=hush", "--router=rt", "--ike-version=2",
            "--vpn-gateway=ha", f"--interface={number}", WHERE,
        )  # fmt: skip
        self.compute(
            "routers", "add-interface", "rt", f"--interface-name=if{number}", f"--vpn-tunnel=tun{number}",
            f"--ip-address=169.254.{number}.1", "--mask-length=30", WHERE,
        )  # fmt: skip
        self.compute(
            "routers", "add-bgp-peer", "rt", f"--peer-name=peer{number}", f"--interface=if{number}",
            f"--peer-ip-address=169.254.{number}.2", "--peer-asn=65001", WHERE,
        )  # fmt: skip

    def connect(self, number: int, *options: str) -> None:
        bgp = (f"169.254.{number}.2/30", f"169.254.{number}.1", "64512")
        peer = self.addresses[number]
        self.region.fogbank("onprem", "connect", "office", peer, "--secret=hush", *options, "--bgp", *bgp)

    def status(self) -> Any:
        return json.loads(self.compute("routers", "get-status", "rt", WHERE, "--format=json"))["result"]

    def up(self) -> list[bool]:
        return [each["status"] == "UP" for each in self.status()["bgpPeerStatus"]]

    def office(self) -> Any:
        (network,) = json.loads(self.region.fogbank("onprem", "list", "--format=json"))
        return {each["peer"]: each["remoteRanges"] for each in network["tunnels"]}

    def ways(self) -> int:
        """Count the predicted ways from the machine to the office; none when the packet took another.

        While routes change the packet may be sent again after the prediction.
        """
        command = ("trace", "compute/vm", "http://192.168.0.10/", "--probe", "--format=json")
        answer = json.loads(self.region.fogbank(*command, check=False))
        if answer["differences"]:
            return 0
        return sum(each["verdict"] == "accepted" for each in answer["predicted"]["traces"])


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    fetch_servers("machine", "vpn")
    running = start_region(short_folder(), "--ephemeral", "--region", AN1)
    with load_gcloud(tmp_path_factory.mktemp("gcloud")) as gcloud:
        made = Pair(LoadedRegion(running.name, running.home, running.environment, gcloud))
        wait_until(lambda: made.up() == [True, True], PATIENCE)
        yield made
    end_region(running)


def test_both_sides_learn_what_the_other_has_and_flows_spread_over_both_tunnels(pair: Pair) -> None:
    wait_until(lambda: len(pair.status()["bestRoutes"]) == 2, PATIENCE)
    assert {each["destRange"] for each in pair.status()["bestRoutes"]} == {"192.168.0.0/24"}
    wait_until(lambda: all("10.10.1.0/24" in each for each in pair.office().values()), PATIENCE)
    wait_until(lambda: pair.ways() == 2, PATIENCE)


def test_a_custom_advertisement_reaches_the_peer_and_no_session_ends_for_it(pair: Pair) -> None:
    wait_until(lambda: pair.up() == [True, True], PATIENCE)
    before = [int(each["uptimeSeconds"]) for each in pair.status()["bgpPeerStatus"]]
    pair.compute(
        "routers", "update-bgp-peer", "rt", "--peer-name=peer1", "--advertisement-mode=custom",
        "--set-advertisement-groups=all_subnets", "--set-advertisement-ranges=10.64.0.0/10", WHERE,
    )  # fmt: skip
    wait_until(lambda: pair.office()[pair.addresses[1]] == ["10.10.1.0/24", "10.64.0.0/10"], PATIENCE)
    assert pair.office()[pair.addresses[0]] == ["10.10.1.0/24"]
    after = [int(each["uptimeSeconds"]) for each in pair.status()["bgpPeerStatus"]]
    assert all(now >= then for now, then in zip(after, before, strict=True))
    pair.compute(
        "routers", "update-bgp-peer", "rt", "--peer-name=peer1", "--advertisement-mode=default", WHERE
    )
    wait_until(lambda: pair.office()[pair.addresses[1]] == ["10.10.1.0/24"], PATIENCE)


def test_a_tunnel_that_dies_takes_its_routes_and_the_other_one_goes_on(pair: Pair) -> None:
    pair.region.fogbank("onprem", "disconnect", "office", pair.addresses[0])
    wait_until(lambda: pair.ways() == 1, PATIENCE)
    routes = pair.status()["bestRoutesForRouter"]
    assert [each["nextHopVpnTunnel"].rpartition("/")[2] for each in routes] == ["tun1"]
    pair.connect(0)
    # The router may think that its old session goes on until the office opens another one.
    wait_until(lambda: pair.office()[pair.addresses[0]] == ["10.10.1.0/24"], PATIENCE)
    wait_until(lambda: pair.up() == [True, True], PATIENCE)
    wait_until(lambda: pair.ways() == 2, PATIENCE)


def test_a_session_with_a_key_is_up_only_when_both_sides_have_it(pair: Pair) -> None:
    key = ("--peer-name=peer1", "--md5-authentication-key=geheim", WHERE)
    pair.compute("routers", "update-bgp-peer", "rt", *key)
    wait_until(lambda: pair.up()[1] is False, PATIENCE)
    pair.connect(1, "--bgp-key=geheim")
    wait_until(lambda: pair.up() == [True, True], PATIENCE)
    assert pair.status()["bgpPeerStatus"][1]["md5AuthEnabled"] is True
