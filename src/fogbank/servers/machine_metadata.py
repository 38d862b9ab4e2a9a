"""What the metadata server tells a virtual machine: its part of the tree, purely.

Names and values are those of https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys.
Numbered
folders (network interfaces, disks) become lists in JSON, and what users named keeps its name there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fogbank.resources.instances import AttachedDisk, NetworkInterface, ServiceAccount, VirtualMachine
from fogbank.servers.metadata_tree import JsonText, Number, Rows, Tree, Verbatim

_MTU = 1460
_OUI = "42:01"
"""Google's machines have it before the four bytes of their address."""


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """What a machine may know: itself, its project with its number and metadata, its guest attributes.

    ``guest`` has their values by ``NAMESPACE/KEY``. ``image`` is what its boot disk was made of.
    """

    machine: VirtualMachine
    project_number: str
    project_metadata: Mapping[str, str]
    guest: Mapping[str, str]
    description: str = ""
    image: str = ""

    @property
    def accounts(self) -> Mapping[str, tuple[str, ...]]:
        """The scopes of each service account, by e-mail address."""
        return {each.email: each.scopes for each in self.machine.accounts}

    @property
    def publishes(self) -> bool:
        """Whether guest attributes are enabled, by the instance or else by its project."""
        key = "enable-guest-attributes"
        return self.machine.metadata.get(key, self.project_metadata.get(key, "")).lower() == "true"


def machine_tree(facts: MachineFacts) -> Tree:
    """Lay out everything that can be read without making a token."""
    machine, number = facts.machine, facts.project_number
    return {
        "instance": {
            "attributes": Verbatim(machine.metadata),
            "cpu-platform": "Intel Broadwell",
            "description": facts.description,
            "disks": _rows(_disk(each) for each in machine.disks),
            "guest-attributes": _guest_attributes(facts.guest),
            "hostname": machine.hostname,
            "id": Number(machine.id),
            "image": facts.image,
            "machine-type": f"projects/{number}/machineTypes/{machine.machine_type.name}",
            "maintenance-event": "NONE",
            "name": machine.name.id,
            "network-interfaces": _rows(_interface(each, number) for each in machine.interfaces),
            "preempted": "FALSE",
            "scheduling": {
                "automatic-restart": str(machine.automatic_restart).upper(),
                "on-host-maintenance": "MIGRATE",
                "preemptible": "FALSE",
            },
            "service-accounts": _accounts(machine.accounts),
            "tags": JsonText(machine.tags),
            "virtual-clock": {"drift-token": "0"},
            "zone": f"projects/{number}/zones/{machine.zone}",
        },
        "project": {
            "attributes": Verbatim(facts.project_metadata),
            "numeric-project-id": Number(number),
            "project-id": machine.name.project,
        },
    }


def _rows(found: Iterable[Tree]) -> Rows:
    return Rows({str(index): each for index, each in enumerate(found)})


def _disk(disk: AttachedDisk) -> Tree:
    return {
        "device-name": disk.device_name,
        "index": Number(disk.index),
        "interface": "SCSI",
        "mode": disk.mode,
        "type": "PERSISTENT-BALANCED",
    }


def _interface(interface: NetworkInterface, number: str) -> Tree:
    external: Tree = {"external-ip": str(interface.external), "type": "ONE_TO_ONE_NAT"}
    octets = ":".join(f"{each:02x}" for each in interface.address.packed)
    return {
        "access-configs": _rows([external] if interface.external else []),
        "dns-servers": ("169.254.169.254",),
        "forwarded-ips": Rows(),
        "gateway": str(interface.gateway),
        "ip": str(interface.address),
        "ip-aliases": Rows({str(index): str(each) for index, each in enumerate(interface.aliases)}),
        "mac": f"{_OUI}:{octets}",
        "mtu": Number(_MTU),
        "network": f"projects/{number}/networks/{interface.network.id}",
        "subnetmask": "255.255.255.255",
        "target-instance-ips": Rows(),
    }


def _accounts(accounts: Iterable[ServiceAccount]) -> Tree:
    found: dict[str, Tree] = {}
    for each in accounts:
        account: Tree = {"aliases": ("default",), "email": each.email, "scopes": each.scopes}
        found |= {"default": account, each.email: account}
    return Verbatim(found)


def _guest_attributes(values: Mapping[str, str]) -> Tree:
    namespaces: dict[str, dict[str, str]] = {}
    for path, value in values.items():
        namespace, _, key = path.partition("/")
        namespaces.setdefault(namespace, {})[key] = value
    return Verbatim({name: Verbatim(each) for name, each in namespaces.items()})
