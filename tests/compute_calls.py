"""A World that answers compute's methods at once, for tests of the handlers alone.

Every answer is checked against Google's schema on the way.
"""

from datetime import UTC, datetime
from itertools import count

import pytest

from fogbank.discovery.routes import methods
from fogbank.discovery.schemas import check_response, fields_of
from fogbank.errors import ApiError
from fogbank.network.topology import Topology
from fogbank.resources.authorization import UNRESTRICTED, Access
from fogbank.resources.names import COMPUTE_PREFIX
from fogbank.resources.operations import Operation
from fogbank.resources.projects import project_name
from fogbank.resources.world import Put, Resource, World
from fogbank.services.compute import SERVICE, default_network
from fogbank.services.contract import Call, List, Read, Write, catalogue_of

PROJECT = "demo"
REGION = "asia-northeast3"
NOW = datetime(2026, 11, 22, 1, 2, 3, tzinfo=UTC)
LINK = f"{COMPUTE_PREFIX}projects/{PROJECT}"


APIS = catalogue_of([SERVICE])


class Compute:
    """Calls handlers in order, each on the World that the one before left."""

    def __init__(self, *changes, first_id=10**18):
        self.world = World().after(changes)
        self.observed = Topology()
        self.access: Access = UNRESTRICTED
        self._ids = count(first_id)

    def branch(self) -> "Compute":
        """Go on from the same World, with ids of its own: examples of a law share how they began."""
        made = Compute(first_id=2 * 10**18)
        made.world, made.observed = self.world, self.observed
        return made

    def new_id(self):
        return next(self._ids)

    def __call__(self, method, body=None, **parameters):
        """Answer like the front end: a body, a list of items, or the operation that was opened."""
        found = SERVICE.methods[method]
        call = Call(
            f"compute.v1.{method}",
            {"project": PROJECT} | parameters,
            body or {},
            "me@example.com",
            NOW,
            self.new_id,
            self.observed,
            APIS,
            self.access,
        )
        match found:
            case Read():
                answer = found.read(self.world, call)
                schema = methods("compute.v1")[method].response
                assert check_response("compute.v1", schema, answer) == []
                return answer
            case List():
                items = list(found.list(self.world, call))
                _check_items(methods("compute.v1")[method].response, found.items, items)
                return items
            case Write():
                decision = found.decide(self.world, call)
                if decision.changes:
                    self.world = self.world.after(decision.changes)
                return decision.operation or decision.answer

    def refused(self, method, body=None, **parameters) -> ApiError:
        """Call what must be refused; the World must stay as it was."""
        before = self.world
        with pytest.raises(ApiError) as caught:
            self(method, body, **parameters)
        assert self.world == before
        return caught.value

    def in_use(self, method, body=None, **parameters) -> str:
        """Call what fails because of a user, in its operation; returns the message. The World must stay."""
        before = self.world
        operation = self(method, body, **parameters)
        assert self.world == before
        assert operation.status == "DONE"
        assert operation.error.code == "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE"
        assert operation.error.http_status == 400
        return operation.error.message

    def put(self, resource: Resource):
        self.world = self.world.after([Put(resource)])

    # Short ways to make what many tests need.

    def network(self, name="net", auto=False) -> Operation:
        return self("networks.insert", {"name": name, "autoCreateSubnetworks": auto})

    def subnetwork(self, name, cidr, network="net", region=REGION, **more) -> Operation:
        body = {"name": name, "ipCidrRange": cidr, "network": f"global/networks/{network}"}
        return self("subnetworks.insert", body | more, region=region)

    def address(self, name, region=REGION, **more) -> str:
        self("addresses.insert", {"name": name} | more, region=region)
        return self("addresses.get", address=name, region=region)["address"]

    def router(self, name="router", network="net", nats=None, region=REGION) -> Operation:
        body = {"name": name, "network": f"global/networks/{network}"}
        return self("routers.insert", body | ({"nats": nats} if nats else {}), region=region)


def _check_items(schema, field, items):
    """Check every item of a list; those of an aggregated list stand deeper and have checks of their own."""
    match fields_of("compute.v1", schema)[field]:
        case [str(name)]:
            for item in items:
                assert check_response("compute.v1", name.removeprefix("#"), item) == []


def with_default_network() -> Compute:
    """Return a project as it is when it is new."""
    compute = Compute()
    compute.world = compute.world.after(default_network(PROJECT, NOW, compute.new_id))
    number = {"projectNumber": "123456789012", "projectId": PROJECT}
    compute.put(Resource(project_name(PROJECT), 1, NOW, number))
    return compute


def manual_nat(*addresses, name="nat", **more):
    """Return the body of a gateway with reserved addresses that serves all ranges."""
    body = {
        "name": name,
        "natIpAllocateOption": "MANUAL_ONLY",
        "natIps": [f"regions/{REGION}/addresses/{each}" for each in addresses],
        "sourceSubnetworkIpRangesToNat": "ALL_SUBNETWORKS_ALL_IP_RANGES",
    }
    return body | more


def auto_nat(name="nat", **more):
    """Return the body of a gateway that chooses its addresses itself."""
    return {
        "name": name,
        "natIpAllocateOption": "AUTO_ONLY",
        "sourceSubnetworkIpRangesToNat": "ALL_SUBNETWORKS_ALL_IP_RANGES",
    } | more


def only(*subnetworks, **more):
    """Narrow a gateway to the primary ranges of some subnetworks."""
    listed = [
        {"name": f"regions/{REGION}/subnetworks/{each}", "sourceIpRangesToNat": ["PRIMARY_IP_RANGE"]}
        for each in subnetworks
    ]
    return {"sourceSubnetworkIpRangesToNat": "LIST_OF_SUBNETWORKS", "subnetworks": listed} | more
