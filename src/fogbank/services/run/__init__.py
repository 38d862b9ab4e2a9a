"""Cloud Run (``run.googleapis.com``): services, revisions and jobs, in two APIs over one store.

v1 is Knative and is what is kept; v2 is rendered from it and parsed into it. Instances and networks are
nobody's business here: the control loop tells how a revision fares through ``convergence``.
"""

from fogbank.services.contract import Service, operation_permissions
from fogbank.services.run import revisions, services
from fogbank.services.run.jobs import v1 as jobs_v1
from fogbank.services.run.jobs import v2 as jobs_v2
from fogbank.services.run.v2 import methods as v2

SERVICE = Service(
    name="run",
    title="Cloud Run Admin API",
    versions=("v1", "v2"),
    methods={
        **services.METHODS,
        **revisions.METHODS,
        **v2.METHODS,
        **jobs_v1.METHODS,
        **jobs_v2.METHODS,
    },
    permissions=(
        "run.routes.invoke",
        "run.jobs.runWithOverrides",
        *operation_permissions("run", "operations"),
    ),
    operation_response=v2.operation_response,
    finishes=v2.finishes,
)
