"""Every method of every API refuses a stranger, tells and changes nothing, and lets an owner in."""

from itertools import count
from types import SimpleNamespace

import pytest
from tests.serving import NOW, OPERATOR

from fogbank.app.projects import Projects
from fogbank.app.registry import services
from fogbank.discovery.routes import Match, methods
from fogbank.discovery.tables import documents
from fogbank.errors import ApiError
from fogbank.frontend.api.invoke import Api, Invocation
from fogbank.frontend.api.operation_methods import is_operation_method
from fogbank.resources.authorization import Policies
from fogbank.resources.consoles import Consoles
from fogbank.resources.decisions import Decision
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import longrunning_operation
from fogbank.resources.projects import policy_name, project_name, service_account
from fogbank.resources.world import Put, PutOperation
from fogbank.services.contract import NO_PERMISSION, Elsewhere, Streaming, catalogue_of
from fogbank.store.journal import Journal
from fogbank.store.log_entries import LogEntries
from fogbank.store.spans import Spans
from fogbank.store.store import Store
from fogbank.store.time_series import TimeSeries

REGION = "asia-northeast3"
OWNER = "owner@example.com"
STRANGER = "robot@another.iam.gserviceaccount.com"
ROBOT = "robot@demo.iam.gserviceaccount.com"
UNKNOWN = "nobody-has-this"

VALUES = {
    "locations": REGION,
    "serviceAccounts": ROBOT,
    "services": "run.googleapis.com",
    "region": REGION,
    "zone": f"{REGION}-a",
    "network": "default",
    "subnetwork": "default",
    "resource": "default",
}
"""What stands in paths, by the label before it or the parameter's own name; others are called ``it``."""

PER_API = {service.name: service for service in services()}
METHODS = [
    (method, service)
    for document in documents().values()
    if (service := PER_API.get(document.api)) is not None and document.version in service.versions
    for method in methods(document.name).values()
    if is_operation_method(service, method)
    or not isinstance(service.method(document.version, method.name), Elsewhere | None)
]
FREE = {
    method.id
    for method, service in METHODS
    if (handler := service.method(method.version, method.name)) is not None
    and handler.permission == NO_PERMISSION
}


def filled(method, project):
    """Fill in a method's path parameters: of resources of ``project``."""
    parameters = {}
    for segment in method.path.replace("}", "{").split("{")[1::2]:
        name, _, pattern = segment.partition("=")
        parts = pattern.split("/")
        if parts[:2] == ["*", "*"]:
            parts[0] = "projects"
        for index, part in enumerate(parts):
            if part in {"*", "**"}:
                label = parts[index - 1] if index else name
                of_project = label in {"projects", "namespaces", "project", "projectId"}
                parts[index] = project if of_project else VALUES.get(label, "it")
        parameters[name] = "/".join(parts)
    if method.api == "cloudresourcemanager" and method.version == "v1" and "resource" in parameters:
        parameters["resource"] = project
    return parameters


def named_in_body(method, project):
    """Make the body of a method whose path names no project."""
    if method.id == "logging.v2.entries.write":
        return {"entries": [{"logName": f"projects/{project}/logs/it", "resource": {"type": "global"}}]}
    if method.api == "logging" and "{" not in method.path:
        return {"resourceNames": [f"projects/{project}"]}
    if method.api == "telemetry":
        attribute = {"key": "gcp.project_id", "value": {"stringValue": project}}
        field = f"resource{'Spans' if method.name == 'traces.post' else method.name[:-5].capitalize()}"
        return {field: [{"resource": {"attributes": [attribute]}}]}
    if method.api == "servicenetworking" and method.request:
        field = "consumerNetwork" if method.name.endswith("deleteConnection") else "network"
        return {field: f"projects/{project}/global/networks/it"}
    return {}


def named_in_query(method, project):
    """Make the query of a method whose path and body name no project."""
    if method.id == "servicenetworking.v1.services.connections.list":
        return {"network": f"projects/{project}/global/networks/it"}
    return {}


class Emulator:
    """Spanner's, which has nothing."""

    async def call(self, _verb, _path, _query, _body):
        return {}

    async def stream(self, _verb, _path, _query, _body):
        if self is None:
            yield {}


class Answers:
    """A region's APIs, without HTTP: the project ``demo``, which OWNER owns, and ``another``."""

    def __init__(self, folder):
        self.store = Store(Journal(folder / "world.sqlite"))
        ids = count(10**18)
        self.new_id = lambda: next(ids)
        defaults = catalogue_of(services()).new_project
        self.projects = Projects(
            self.store, owner=OPERATOR, strict=False, defaults=defaults, now=lambda: NOW, new_id=self.new_id
        )
        self.access = Policies(OPERATOR, lambda: NOW)
        self.log_entries = LogEntries(None, lambda: NOW)
        self.backends = {
            "logging": self.log_entries,
            "monitoring": TimeSeries(),
            "cloudtrace": Spans(),
            "spanner": Emulator(),
            "telemetry": SimpleNamespace(
                spans=Spans(), log_entries=self.log_entries, time_series=TimeSeries()
            ),
            "compute": Consoles(),
        }
        self.api = Api(
            store=self.store,
            services=services(),
            now=lambda: NOW,
            new_id=self.new_id,
            ensure_project=self.projects.ensure,
            settle=self._settle,
            access=self.access,
            operator=OPERATOR,
            backends=self.backends,
        )

    async def close(self):
        await self.log_entries.close()
        await self.store.close()

    async def _settle(self, path, seconds):
        pass

    async def prepare(self):
        await self.projects.ensure("demo")
        await self.projects.ensure("another")
        await self.bind("demo", "roles/owner", f"user:{OWNER}")
        await self.bind("another", "roles/owner", f"serviceAccount:{STRANGER}")
        account = service_account("demo", ROBOT, "", NOW, self.new_id)
        operation = longrunning_operation(
            "cloudresourcemanager", None, "create", project_name("demo"), now=NOW, new_id=self.new_id,
            user=OWNER, project="demo", metadata_type="a.B", metadata={}, done=True,
        )  # fmt: skip
        usage = longrunning_operation(
            "serviceusage", None, "enable", ResourceName("serviceusage.services", "projects/demo/services/a"),
            now=NOW, new_id=self.new_id, user=OWNER, project="demo", metadata_type="a.B", metadata={},
            done=True,
        )  # fmt: skip
        connection = ResourceName("servicenetworking.connections", "projects/demo/global/networks/n/it")
        peering = longrunning_operation(
            "servicenetworking", None, "create", connection,
            now=NOW, new_id=self.new_id, user=OWNER, project="demo", metadata_type="a.B", metadata={},
            done=True,
        )  # fmt: skip
        made = (operation, usage, peering)
        self.operations = {each.name.service: each.name.path for each in made}
        await self.store.commit(lambda _: Decision((Put(account), *map(PutOperation, made))))

    async def bind(self, project, role, member):
        resource = self.store.world.get(policy_name(project))
        bindings = [*resource.body["bindings"], {"role": role, "members": [member]}]
        await self.store.commit(lambda _: Decision((Put(resource.with_body(bindings=bindings)),)))

    async def call(self, principal, method, project, body=None):
        parameters = filled(method, project)
        if parameters.get("name", "").startswith("operations/"):
            parameters["name"] = self.operations[method.api] if project == "demo" else "operations/it"
        region = REGION if "namespaces" in method.path else None
        body = body or named_in_body(method, project)
        query = named_in_query(method, project)
        invocation = Invocation(principal, Match(method, parameters, region), query, body)
        if isinstance(PER_API[method.api].method(method.version, method.name), Streaming):
            return await self.api.stream(invocation)
        return await self.api.answer(invocation)


@pytest.fixture
async def region(tmp_path):
    made = Answers(tmp_path)
    await made.prepare()
    yield made
    await made.close()


async def test_a_stranger_is_refused_every_method_and_hears_and_changes_nothing(region):
    asked = 0
    for method, _ in METHODS:
        if method.id in FREE or method.name.endswith(("projects.create",)):
            continue
        world, texts = region.store.world, []
        for project in ("demo", UNKNOWN):
            with pytest.raises(ApiError) as refusal:
                await region.call(STRANGER, method, project)
            assert refusal.value.code == 403, method.id
            texts.append(repr(refusal.value).replace(UNKNOWN, "demo"))
        if not filled(method, "x").get("name", "").startswith("operations/"):
            assert texts[0] == texts[1], method.id
        assert region.store.world == world, method.id
        asked += 1
    assert asked > 100


async def test_what_needs_no_permission_tells_a_stranger_nothing(region):
    for method, _ in METHODS:
        if method.id in FREE:
            world, answers = region.store.world, []
            for project in ("demo", UNKNOWN):
                try:
                    answers.append(await region.call(STRANGER, method, project))
                except ApiError as refusal:
                    answers.append(repr(refusal).replace(project, "P"))
            assert answers[0] == answers[1], method.id
            assert region.store.world == world, method.id


async def refusal_of(region, principal, method):
    """Return the code of a refusal, 0 for an answer: what is missing or malformed is refused, too."""
    try:
        await region.call(principal, method, "demo")
    except ApiError as refusal:
        return refusal.code
    return 0


async def test_an_owner_lacks_no_permission(region):
    codes = {}
    for method, _ in sorted(METHODS, key=lambda each: each[0].name.endswith(("delete", "disable"))):
        if method.name.startswith(("tag", "effectiveTags")):
            continue  # a tag that does not exist is refused like somebody else's
        if method.api != "cloudresourcemanager" or not method.name.endswith("delete"):
            codes[method.id] = await refusal_of(region, OWNER, method)
    # They list the operations of all projects, or are an organization's: the region's own account's.
    assert {name for name, code in codes.items() if code == 403} == {
        "compute.v1.projects.disableXpnHost",
        "compute.v1.projects.disableXpnResource",
        "compute.v1.projects.enableXpnHost",
        "compute.v1.projects.enableXpnResource",
        "servicenetworking.v1.operations.list",
        "serviceusage.v1.operations.list",
        "serviceusage.v1beta1.operations.list",
    }
    assert list(codes.values()).count(0) > 50


async def test_accounts_of_other_projects_make_no_projects_and_people_do(region):
    create = methods("cloudresourcemanager.v1")["projects.create"]
    with pytest.raises(ApiError, match="does not have permission"):
        await region.call(STRANGER, create, "", {"projectId": "made-by-a-robot"})
    await region.call("somebody@example.com", create, "", {"projectId": "made-by-a-person"})
    assert region.access.allows(
        region.store.world, "somebody@example.com", "run.services.create", "made-by-a-person"
    )


async def test_only_the_regions_own_account_makes_a_project_by_its_first_use(region):
    get = methods("compute.v1")["networks.get"]
    with pytest.raises(ApiError, match=r"Required 'compute\.networks\.get' permission"):
        await region.call(OWNER, get, "fresh-one")
    assert region.store.world.find(project_name("fresh-one")) is None
    assert (await region.call(OPERATOR, get, "fresh-one"))["name"] == "default"


async def test_a_policy_without_the_regions_own_account_does_not_lock_it_out(region):
    policy = region.store.world.get(policy_name("demo"))
    bindings = [{"role": "roles/viewer", "members": [f"user:{OWNER}"]}]
    await region.store.commit(lambda _: Decision((Put(policy.with_body(bindings=bindings)),)))
    create = methods("compute.v1")["networks.insert"]
    with pytest.raises(ApiError, match=r"Required 'compute\.networks\.create' permission"):
        await region.call(OWNER, create, "demo", {"name": "n", "autoCreateSubnetworks": False})
    assert (await region.call(OPERATOR, create, "demo", {"name": "n", "autoCreateSubnetworks": False}))[
        "name"
    ]


async def test_a_list_of_projects_shows_those_that_the_caller_may_get(region):
    for version, field in (("v1", "projects"), ("v3", "projects")):
        listed = await region.call(OWNER, methods(f"cloudresourcemanager.{version}")["projects.list"], "")
        assert [each["projectId"] for each in listed[field]] == ["demo"]
        nobody = await region.call(
            "x@y.example", methods(f"cloudresourcemanager.{version}")["projects.list"], ""
        )
        assert nobody == {}


async def test_a_path_that_names_two_projects_is_refused(region):
    # Escaped slashes come here as slashes.
    service = "projects/another/locations/l/projects/demo/locations/asia-northeast3/services/it"
    method = methods("run.v2")["projects.locations.services.get"]
    with pytest.raises(ApiError, match="Invalid resource name"):
        await region.api.answer(Invocation(STRANGER, Match(method, {"name": service}), {}))


async def test_a_role_of_a_project_gives_what_it_has_until_it_is_deleted(region):
    me, role = "me@example.com", "projects/demo/roles/reader"
    create, delete = (methods("iam.v1")[f"projects.roles.{verb}"] for verb in ("create", "delete"))
    wanted = {
        "roleId": "reader",
        "role": {"title": "Reader", "includedPermissions": ["compute.networks.get"]},
    }
    await region.call(OWNER, create, "demo", wanted)
    policy = {
        "bindings": [
            {"role": role, "members": [f"user:{me}"]},
            {"role": "roles/owner", "members": [f"user:{OWNER}"]},
        ]
    }
    await region.call(
        OWNER, methods("cloudresourcemanager.v1")["projects.setIamPolicy"], "demo", {"policy": policy}
    )
    get = methods("compute.v1")["networks.get"]
    assert (await region.call(me, get, "demo"))["name"] == "default"
    with pytest.raises(ApiError, match=r"compute\.networks\.list"):
        await region.call(me, methods("compute.v1")["networks.list"], "demo")
    VALUES["roles"] = "reader"
    await region.call(OWNER, delete, "demo")
    del VALUES["roles"]
    with pytest.raises(ApiError, match=r"compute\.networks\.get"):
        await region.call(me, get, "demo")


@pytest.mark.parametrize(
    "role", ["roles/made.up", "projects/another/roles/deployer", "projects/demo/roles/missing"]
)
async def test_a_policy_binds_no_role_that_is_not_there(region, role):
    policy = {"policy": {"bindings": [{"role": role, "members": ["allUsers"]}]}}
    with pytest.raises(ApiError, match="does not exist in the resource's hierarchy") as refusal:
        await region.call(OWNER, methods("cloudresourcemanager.v1")["projects.setIamPolicy"], "demo", policy)
    assert refusal.value.code == 400


async def test_a_refusal_names_the_project_without_version_and_verb(region):
    read = methods("cloudresourcemanager.v1")["projects.getIamPolicy"]
    with pytest.raises(ApiError) as refused:
        await region.call(STRANGER, read, "demo")
    assert [detail["metadata"] for detail in refused.value.details] == [
        {"permission": "resourcemanager.projects.getIamPolicy", "resource": "projects/demo"}
    ]
