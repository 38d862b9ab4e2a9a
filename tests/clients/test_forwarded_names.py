"""Names that other name servers know: forwarding zones and policies by real gcloud and real packets.

A service with Direct VPC egress asks; a virtual machine is the name server, and its answer to every name is
the address from which it was asked.
"""

import json
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from tests.loaded_gcloud import LoadedRegion, load_gcloud
from tests.waiting import wait_until

from fogbank.testing import end_region, fetch_servers, short_folder, start_region

pytestmark = [pytest.mark.netns, pytest.mark.slow(30), pytest.mark.xdist_group("forwarded-names")]

AN3 = "--region=asia-northeast3"
NETCHECK = "--image=us-docker.pkg.dev/fogbank/samples/netcheck"
FORWARDERS = IPv4Network("35.199.192.0/19")
NAME_SERVER = """#!/bin/sh
cat > /srv/ns.py <<'E'
import socket, socketserver, struct

def answer(query, client, cut):
    end = query.index(b"\\0", 12) + 5
    known = query[end - 4:end - 2] == b"\\0\\1" and not cut
    head = query[:2] + (b"\\x86\\0" if cut else b"\\x84\\0") + struct.pack("!HHHH", 1, known, 0, 0)
    record = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\0\\0\\4" + socket.inet_aton(client)
    return head + query[12:end] + (record if known else b"")

class Datagram(socketserver.BaseRequestHandler):
    def handle(self):
        query, opened = self.request
        cut = query[13:16] == b"big"
        opened.sendto(answer(query, self.client_address[0], cut), self.client_address)

class Stream(socketserver.StreamRequestHandler):
    def handle(self):
        (length,) = struct.unpack("!H", self.rfile.read(2))
        made = answer(self.rfile.read(length), self.client_address[0], False)
        self.wfile.write(struct.pack("!H", len(made)) + made)

import threading
threading.Thread(target=socketserver.TCPServer(("", 53), Stream).serve_forever).start()
socketserver.UDPServer(("", 53), Datagram).serve_forever()
E
setsid python3 /srv/ns.py &
"""


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedRegion]:
    fetch_servers("machine")
    started = start_region(short_folder(), "--ephemeral")
    script: Path = tmp_path_factory.mktemp("scripts") / "ns.sh"
    script.write_text(NAME_SERVER)
    with load_gcloud(tmp_path_factory.mktemp("gcloud")) as loaded:
        made = LoadedRegion(started.name, started.home, started.environment, loaded)
        made.gcloud("compute", "networks", "create", "vpc", "--subnet-mode=custom")
        made.gcloud(
            "compute", "networks", "subnets", "create", "main", "--network=vpc", "--range=10.8.0.0/24", AN3
        )
        made.gcloud(
            "compute", "instances", "create", "ns", "--zone=asia-northeast3-a", "--subnet=main",
            "--private-network-ip=10.8.0.53", f"--metadata-from-file=startup-script={script}",
        )  # fmt: skip
        made.gcloud(
            "run", "deploy", "web", NETCHECK, AN3, "--allow-unauthenticated", "--network=vpc",
            "--subnet=main", "--vpc-egress=private-ranges-only", "--min-instances=1", "--max-instances=1",
        )  # fmt: skip
        yield made
    end_region(started)


@pytest.fixture(scope="module")
def url(region: LoadedRegion) -> str:
    shown = region.gcloud("run", "services", "describe", "web", AN3, "--format=value(status.url)")
    return shown.stdout.strip()


def ask(region: LoadedRegion, url: str, name: str) -> dict[str, Any]:
    """Have the service resolve a name."""
    found: dict[str, Any] = json.loads(region.curl("--max-time", "60", f"{url}/dns?name={name}"))
    return found


def asked_from(region: LoadedRegion, url: str, name: str) -> IPv4Address:
    """Tell from where the name server was asked about a name, once it answers."""
    found: list[str] = []

    def answered() -> bool:
        found.extend(ask(region, url, name).get("addresses") or ())
        return bool(found)

    wait_until(answered, 60)
    return IPv4Address(found[0])


def test_queries_reach_private_targets_from_googles_range_once_the_firewall_lets_them(
    region: LoadedRegion, url: str
) -> None:
    region.gcloud(
        "dns", "managed-zones", "create", "corp", "--dns-name=corp.example.", "--description=",
        "--visibility=private", "--networks=vpc", "--forwarding-targets=10.8.0.53", "--log-dns-queries",
    )  # fmt: skip
    assert not ask(region, url, "who.corp.example").get("addresses")
    rules = ("compute", "firewall-rules", "create")
    region.gcloud(*rules, "dns", "--network=vpc", "--allow=udp:53,tcp:53", "--source-ranges=35.199.192.0/19")
    assert asked_from(region, url, "who.corp.example") in FORWARDERS
    assert asked_from(region, url, "big.corp.example") in FORWARDERS  # by TCP: the datagram said "truncated"
    wanted = 'log_id("dns.googleapis.com/dns_queries") jsonPayload.rdata:* jsonPayload.queryName:corp.example'
    shown = region.gcloud("logging", "read", wanted, "--format=json")
    entries = json.loads(shown.stdout)
    assert {each["resource"]["labels"]["target_type"] for each in entries} == {"forwarding-zone"}
    assert {each["jsonPayload"]["responseCode"] for each in entries} == {"NOERROR"}


def test_a_server_policy_asks_a_public_server_about_every_name_but_those_of_a_response_policy(
    region: LoadedRegion, url: str
) -> None:
    shown = region.gcloud(
        "compute", "instances", "describe", "ns", "--zone=asia-northeast3-a",
        "--format=value(networkInterfaces[0].accessConfigs[0].natIP)",
    )  # fmt: skip
    outside = shown.stdout.strip()
    region.gcloud(
        "compute", "firewall-rules", "create", "public-dns", "--network=vpc", "--allow=udp:53",
        "--source-ranges=192.0.2.1",
    )  # fmt: skip
    region.gcloud(
        "dns", "policies", "create", "elsewhere", "--networks=vpc", "--description=", "--enable-logging",
        f"--alternative-name-servers={outside}",
    )  # fmt: skip
    assert asked_from(region, url, "whatever.example.org") == IPv4Address("192.0.2.1")
    assert asked_from(region, url, "ifconfig.me") == IPv4Address("192.0.2.1")
    policies = ("dns", "response-policies")
    region.gcloud(*policies, "create", "fixed", "--networks=vpc", "--description=")
    region.gcloud(
        *policies, "rules", "create", "one", "--response-policy=fixed", "--dns-name=ifconfig.me.",
        "--local-data=name=ifconfig.me.,type=A,ttl=60,rrdatas=10.7.7.7",
    )  # fmt: skip
    assert ask(region, url, "ifconfig.me")["addresses"] == ["10.7.7.7"]
    assert ask(region, url, "whatever.example.org")["addresses"] == ["192.0.2.1"]
    region.gcloud("dns", "policies", "update", "elsewhere", "--networks=")
    region.gcloud("dns", "policies", "delete", "elsewhere")
    region.gcloud(*policies, "rules", "delete", "one", "--response-policy=fixed")
    assert ask(region, url, "ifconfig.me")["addresses"] == ["192.0.2.2"]
