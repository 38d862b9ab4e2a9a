"""Cloud Run while the region runs: starts instances, assigns requests to them, follows the load.

`instances` is the life of an instance; `serving` knows which revisions should have any, `scaling` how many,
`request_queue` which one a request gets. `controller` is what the region sees of it.
"""

from fogbank.control.controller import Runtime
from fogbank.services.run.controller.controller import RunController
from fogbank.services.run.controller.instances import Instances

__all__ = ["Instances", "RunController", "make_controller"]


def make_controller(runtime: Runtime) -> RunController:
    """Make the controller of Cloud Run."""
    return RunController(runtime, Instances(RunController.name, runtime))
