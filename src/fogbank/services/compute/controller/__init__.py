"""What Compute Engine does while the region runs: it keeps virtual machines running as instances say."""

from fogbank.control.controller import Runtime
from fogbank.services.compute.controller.controller import MachineController

__all__ = ["MachineController", "make_controller"]


def make_controller(runtime: Runtime) -> MachineController:
    """Make the controller of Compute Engine."""
    return MachineController(runtime)
