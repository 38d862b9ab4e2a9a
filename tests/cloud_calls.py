"""A World that answers one-platform APIs at once, for tests of the handlers alone.

Requests and answers are checked against Google's schemas on the way, as the front end does.
"""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import count

import pytest
from tests import worlds

from fogbank.app import registry
from fogbank.discovery.routes import methods
from fogbank.discovery.schemas import check_response, convert_request, fields_of
from fogbank.errors import ApiError
from fogbank.resources.authorization import Policies
from fogbank.resources.operations import Operation
from fogbank.resources.policies import policy_of
from fogbank.resources.projects import policy_name
from fogbank.resources.shared_vpc import attached_name, host_name
from fogbank.resources.world import Put, PutOperation, Resource, World
from fogbank.services import cloudresourcemanager, iam
from fogbank.services.contract import Call, List, Read, Write, catalogue_of

PROJECT = "demo-project"
REGION = "asia-northeast3"
NOW = datetime(2026, 11, 22, 1, 2, 3, tzinfo=UTC)
ME = "me@example.com"
PLACE = f"projects/{PROJECT}/locations/{REGION}"

SERVICES = {
    service.name: service
    for service in (
        *registry.services(),
        iam.with_keys(lambda account: iam.NewKey("k1", b"public", b"certificate", b'{"for": "me"}')),
    )
}


APIS = replace(
    catalogue_of(SERVICES.values()),
    new_project=lambda project, _now, _new_id: (Put(worlds.network(project)),),
)


class Cloud:
    """Calls handlers in order, each on the World that the one before left."""

    def __init__(self, *changes, first_id=10**18):
        self.now, self.caller = NOW, ME
        self._ids = count(first_id)
        project = cloudresourcemanager.new_project(PROJECT, NOW, self.new_id, owner=ME)
        self.world = World().after((*project, *changes))

    def branch(self):
        """Go on from the same World, with ids of its own: examples of a law share how they began."""
        made = type(self)(first_id=2 * 10**18)
        made.world, made.now = self.world, self.now
        return made

    def new_id(self):
        return next(self._ids)

    def __call__(self, method, body=None, **parameters):
        """Answer like the front end: a body, a list of items, or the operation that was opened."""
        api, version, name = method.split(".", 2)
        known = methods(f"{api}.{version}")[name]
        handlers = SERVICES[api].methods
        handler = handlers.get(f"{version}.{name}") or handlers[name]
        body = convert_request(known.document, known.request, body or {}).body if known.request else {}
        call = Call(
            method,
            parameters,
            body,
            self.caller,
            self.now,
            self.new_id,
            apis=APIS,
            access=Policies("", lambda: self.now),
        )
        match handler:
            case Read():
                return self._checked(known, handler.read(self.world, call))
            case List():
                items = list(handler.list(self.world, call))
                kind = fields_of(known.document, known.response)[handler.items][0].removeprefix("#")
                for item in items:
                    assert check_response(known.document, kind, item) == []
                return items
            case Write():
                return self._write(known, handler.decide(self.world, call))

    def _write(self, known, decision):
        operation = decision.operation
        opened = () if operation is None else (PutOperation(operation),)
        self.world = self.world.after((*decision.changes, *opened))
        return operation if operation is not None else self._checked(known, decision.answer)

    def _checked(self, known, answer):
        assert check_response(known.document, known.response, answer) == []
        return answer

    def refused(self, method, body=None, **parameters) -> ApiError:
        """Call what must be refused; the World must stay as it was."""
        before = self.world
        with pytest.raises(ApiError) as caught:
            self(method, body, **parameters)
        assert self.world == before
        return caught.value

    def make(self, changes):
        """Commit changes that the control loop would."""
        self.world = self.world.after(changes)

    def bind(self, project, role, *members):
        """Set a project's policy, whatever it was."""
        self.make([Put(worlds.resource(policy_name(project), policy_of({role: members}, self.new_id())))])

    def attach(self, host, project=PROJECT):
        """Make a project a service project of a host."""
        for name in (host_name(host), attached_name(host, project)):
            self.make([Put(Resource(name, self.new_id(), self.now, {}))])

    def finish(self, operation: Operation) -> Operation:
        """End an operation as the control loop does once the network is built."""
        service = SERVICES[operation.target.service]
        assert service.finishes(self.world, operation)
        self.make(service.converged(self.world, operation.target, self.now))
        done = operation.done(self.now, service.operation_response(self.world, operation))
        self.make([PutOperation(done)])
        return done

    # Short ways to make what many tests need.

    def subnetwork(self, name="subnet", cidr="10.124.0.0/28", project=PROJECT):
        with_project(project)
        try:
            network, subnetwork = worlds.network(), worlds.subnetwork(name, cidr)
        finally:
            with_project("demo")
        self.make([Put(network), Put(subnetwork)])
        return subnetwork.name

    def connector(self, name="connector", **body) -> Operation:
        limits = {} if any("Throughput" in each for each in body) else {"minInstances": 2, "maxInstances": 3}
        fields = {"subnet": {"name": "subnet"}} | limits | body
        return self(
            "vpcaccess.v1.projects.locations.connectors.create", fields, parent=PLACE, connectorId=name
        )


def with_project(project):
    """Have `tests.worlds` name resources in ``project``."""
    worlds.P = project
