"""Google's front ends of load balancers: the proxy, what it is told, and the health checks."""

from fogbank.control.controller import Runtime
from fogbank.services.compute.controller.edge.controller import EdgeController

__all__ = ["EdgeController", "make_controller"]


def make_controller(runtime: Runtime) -> EdgeController:
    """Make the controller of load balancers."""
    return EdgeController(runtime)
