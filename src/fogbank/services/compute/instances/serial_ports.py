"""Serial ports: what machines write on port 1; the others have nothing."""

from fogbank.resources.backend_health import ComputeBackend
from fogbank.resources.consoles import SerialPort
from fogbank.resources.instances import machine_id
from fogbank.resources.world import Json, World
from fogbank.services.compute.bodies import bad_request
from fogbank.services.compute.instances import power
from fogbank.services.contract import Call

PORTS = range(1, 5)
CONSOLE = 1


async def get_serial_port_output(backend: ComputeBackend, world: World, call: Call) -> Json:
    """Answer with what a port wrote from ``start`` on (behaviour/compute-machines.md#serial-ports)."""
    instance = power.find(world, call)
    number = int(call.parameters.get("port") or CONSOLE)
    if number not in PORTS:
        raise bad_request(f"Invalid value for field 'port': '{number}'. Must be 1, 2, 3 or 4.", "invalid")
    port = backend.consoles.port(machine_id(instance.id)) if number == CONSOLE else SerialPort()
    start, content = port.read(int(call.parameters.get("start") or 0))
    return {
        "kind": "compute#serialPortOutput",
        "selfLink": f"{instance.name.self_link}/serialPort",
        "contents": content.decode(errors="replace"),
        "start": str(start),
        "next": str(start + len(content)),
    }
