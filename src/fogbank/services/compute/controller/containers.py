"""The container that a virtual machine is, as the fleet takes it, purely."""

from fogbank.dataplane.linux.machines.layer import INIT
from fogbank.network.elements import Machine
from fogbank.resources.fleet import Container, Instance
from fogbank.resources.instances import Disk, VirtualMachine
from fogbank.resources.world import Resource, World

_MIB = 1024 * 1024
_LONGEST_NAME = 63


def fleet_instance(world: World, resource: Resource, image: str) -> Instance:
    """Describe the machine of an instance; ``image`` is the digest of its root."""
    machine = VirtualMachine.of(resource)
    container = Container(
        image,
        (),
        command=(INIT,),
        cpu_millis=machine.machine_type.cpus * 1000,
        memory_limit=machine.machine_type.memory_mb * _MIB,
        machine=Machine(disk_folder(world, machine), host_name(machine)),
    )
    return Instance(machine.machine, machine.name, resource, (), (container,))


def disk_folder(world: World, machine: VirtualMachine) -> str:
    """Name the data folder of what a machine boots from."""
    boot = next((each for each in machine.disks if each.boot), None)
    found = world.find(boot.source) if boot else None
    return Disk.of(found).folder if found else f"{machine.machine}-disk"


def host_name(machine: VirtualMachine) -> str:
    """Return what the kernel calls a machine: the first label of its name."""
    return machine.hostname.partition(".")[0][:_LONGEST_NAME]
