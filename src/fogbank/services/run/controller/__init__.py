"""Cloud Run while the region runs: starts instances, assigns requests to them, follows the load.

`instances` is the life of an instance; `serving` knows which revisions should have any, `scaling` how many,
`request_queue` which one a request gets. `tasks` is the life of the tasks of jobs. `controller` is what the
region sees of all this.
"""

from fogbank.control.background import BackgroundTasks
from fogbank.control.controller import Runtime
from fogbank.network.addressing import FABRIC_INSTANCES
from fogbank.services.run.controller.addresses import Addresses
from fogbank.services.run.controller.controller import RunController
from fogbank.services.run.controller.instances import Instances
from fogbank.services.run.controller.places import Places
from fogbank.services.run.controller.tasks import Tasks

__all__ = ["Instances", "RunController", "make_controller"]


def make_controller(runtime: Runtime) -> RunController:
    """Make the controller of Cloud Run."""
    places = Places(FABRIC_INSTANCES.num_addresses - 1)
    addresses = Addresses(runtime, BackgroundTasks("work on addresses"))
    instances = Instances(RunController.name, runtime, places=places, addresses=addresses)
    tasks = Tasks(f"{RunController.name}.jobs", runtime, places, addresses)
    return RunController(runtime, instances, tasks)
