"""Service agents: the accounts under which Google's own services act in a project.

An agent needs no resource: its address follows from the project's number and the API. To generate one again
gives the same.
"""

from collections.abc import Mapping

from fogbank.resources.projects import project_number, unique_id
from fogbank.resources.world import World
from fogbank.services.contract import Call, Decision
from fogbank.services.segments import project_of, segments
from fogbank.services.serviceusage.apis import known, operation_of

_SPECIAL: Mapping[str, str] = {
    "bigquery": "bq-{number}@bigquery-encryption",
    "compute": "service-{number}@compute-system",
    "container": "service-{number}@container-engine-robot",
    "redis": "service-{number}@cloud-redis",
    "run": "service-{number}@serverless-robot-prod",
    "servicenetworking": "service-{number}@service-networking",
    "sqladmin": "service-{number}@gcp-sa-cloud-sql",
}
"""Agents whose address does not have the usual form."""


def agent(number: str, api: str) -> str:
    """Return the address of ``api``'s agent in the project with ``number``."""
    short = api.partition(".")[0]
    form = _SPECIAL.get(short, f"service-{{number}}@gcp-sa-{short}")
    return f"{form.format(number=number)}.iam.gserviceaccount.com"


def generate(world: World, call: Call) -> Decision:
    """Return the agent of an API in an operation that is done at once."""
    project, api = project_of(world, call), known(call, segments(call)["services"])
    email = agent(project_number(world, project), api)
    response = {
        "@type": "type.googleapis.com/google.api.serviceusage.v1beta1.ServiceIdentity",
        "email": email,
        "uniqueId": unique_id(email),
    }
    operation = operation_of(call, project, api, "GenerateServiceIdentity", response, version="v1beta1")
    return Decision(operation=operation)
