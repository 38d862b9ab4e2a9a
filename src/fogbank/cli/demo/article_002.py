"""Article 002: machines without external addresses go out by Cloud NAT with an automatic address."""

import time

import click

from fogbank.cli.demo.stage import Stage, fetch_server
from fogbank.cli.demo.steps import DemoRequest, Place, Step, network, network_link, router, subnet
from fogbank.resources.server_images import MACHINE

TITLE = "Article 002: private machines and Cloud NAT"
_NETWORK, _ROUTER, _GATEWAY = "foobar-product-network", "foobar-natgateway-router", "foobar-natgateway"
MACHINES = {"vm-1": ("first", "10.10.1.0/24"), "vm-2": ("second", "10.10.2.0/24")}
_SITE = "ifconfig.me"
_SCRIPT = f"while :; do curl -s -m 1 http://{_SITE}; sleep 0.3; done"
_PATIENCE = 60.0


def tell(stage: Stage) -> bool:
    """Run the article; tell whether the third party saw the gateway's address, and nothing before."""
    place = stage.place
    fetch_server(stage, MACHINE)
    stage.do(network(place, _NETWORK))
    for name, (subnetwork, cidr) in MACHINES.items():
        stage.do(subnet(place, _NETWORK, subnetwork, cidr, "Make a subnet"))
        stage.do(machine(place, name, subnetwork))
    stage.trace("compute/vm-1", f"http://{_SITE}")
    before = stage.seen_by(_SITE)
    stage.do(router(place, _NETWORK, _ROUTER))
    stage.do(gateway(place))
    given = stage.read(read_nat_address(place))
    agreed = stage.trace("compute/vm-1", f"http://{_SITE}")
    _wait(stage)
    seen = stage.seen_by(_SITE, last=5)
    closed = stage.verdict(
        "Without a gateway nothing of the machines reached the third party.",
        f"Without a gateway {_SITE} saw {', '.join(sorted(before))}.",
        holds=not before,
    )
    return stage.reserved_alone(_SITE, given, seen) and agreed and closed


def _wait(stage: Stage) -> None:
    """Wait until a third party has heard of the machines."""
    from fogbank.cli.commands.internet import site_requests

    click.echo("The machines ask the third party again and again.")
    deadline = time.monotonic() + _PATIENCE
    while not any(site_requests(stage.note, _SITE)) and time.monotonic() < deadline:
        time.sleep(0.2)


def machine(place: Place, name: str, subnetwork: str) -> Step:
    """Make a virtual machine without an external address, which asks a third party again and again."""
    zone = f"{place.region}-a"
    image = "projects/debian-cloud/global/images/family/debian-12"
    body = {
        "name": name,
        "machineType": f"zones/{zone}/machineTypes/e2-small",
        "disks": [{"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": image}}],
        "networkInterfaces": [
            {
                "network": network_link(place.project, _NETWORK),
                "subnetwork": f"regions/{place.region}/subnetworks/{subnetwork}",
            }
        ],
        "metadata": {"items": [{"key": "startup-script", "value": _SCRIPT}]},
    }
    return Step(
        "Make a machine without an external address",
        (
            "compute", "instances", "create", name, f"--subnet={subnetwork}", f"--zone={zone}",
            "--no-address", "--machine-type=e2-small", f"--metadata=^§^startup-script={_SCRIPT}",
        ),
        (DemoRequest("compute.v1.instances.insert", {"project": place.project, "zone": zone}, body),),
    )  # fmt: skip


def gateway(place: Place) -> Step:
    """Make the article's gateway: all ranges, an automatic address, 64 ports, everything logged."""
    nat = {
        "name": _GATEWAY,
        "natIpAllocateOption": "AUTO_ONLY",
        "sourceSubnetworkIpRangesToNat": "ALL_SUBNETWORKS_ALL_IP_RANGES",
        "minPortsPerVm": 64,
        "udpIdleTimeoutSec": 30,
        "tcpEstablishedIdleTimeoutSec": 1200,
        "logConfig": {"enable": True, "filter": "ALL"},
    }
    return Step(
        "Make the Cloud NAT gateway",
        (
            "compute", "routers", "nats", "create", _GATEWAY, f"--router={_ROUTER}", place.flag,
            "--nat-all-subnet-ip-ranges", "--auto-allocate-nat-external-ips", "--min-ports-per-vm=64",
            "--udp-idle-timeout=30s", "--tcp-established-idle-timeout=1200s", "--enable-logging",
            "--log-filter=ALL",
        ),
        (DemoRequest("compute.v1.routers.patch", {**place.parameters, "router": _ROUTER}, {"nats": [nat]}),),
    )  # fmt: skip


def read_nat_address(place: Place) -> Step:
    """Ask for the address that the gateway has taken."""
    return Step(
        "Read the gateway's address",
        (
            "compute", "routers", "get-status", _ROUTER, place.flag,
            "--format=value(result.natStatus[0].autoAllocatedNatIps[0])",
        ),
        (DemoRequest("compute.v1.routers.getRouterStatus", {**place.parameters, "router": _ROUTER}),),
    )  # fmt: skip
