"""Collections that are declared: what follows from a declaration, by a law and by examples."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogbank.errors import ApiError
from fogbank.resources.names import ResourceName
from fogbank.resources.operations import OperationError
from fogbank.resources.world import Put, Resource, World
from fogbank.services.collections import Collection, Field, Outcome, bad_request
from fogbank.services.contract import Call, List, Read, Write

NOW = datetime(2026, 11, 22, 1, 2, 3, tzinfo=UTC)
PARENT = "projects/demo/locations/asia-northeast3"
USER = ResourceName("toys.users", "projects/demo/users/u")


def even(_world, _call, value):
    if value % 2:
        raise bad_request("odd")
    return value


TOYS = Collection(
    name="toybox.toys",
    noun="toy",
    id_parameter="toyId",
    id_pattern="[a-z]{1,3}",
    message="google.cloud.toybox.v1.Toy",
    interface="google.cloud.toybox.{version}.Toybox",
    metadata="google.cloud.toybox.v1.OperationMetadata",
    fields={
        "size": Field(default=2, check=even),
        "colour": Field(required=True),
        "maker": Field(immutable=True),
        "state": Field(output=True),
    },
    created=lambda _world, _call, asked: Outcome(asked.with_body(state="CREATING")),
    users=lambda world, resource: iter((USER,)) if world.find(USER) and resource.name.id == "u" else iter(()),
)


class Toybox:
    """Calls the methods of a collection in order, each on the World that the one before left."""

    def __init__(self, collection=TOYS):
        self.world, self.collection, self._ids = World(), collection, count(1)

    def __call__(self, verb, body=None, **parameters):
        method = self.collection.methods()[f"projects.locations.toys.{verb}"]
        call = Call(f"toybox.v1.projects.locations.toys.{verb}", parameters, body or {}, "me@x", NOW, self.id)
        match method:
            case Read():
                return method.read(self.world, call)
            case List():
                return list(method.list(self.world, call))
            case Write():
                decision = method.decide(self.world, call)
                self.world = self.world.after(decision.changes)
                return decision.operation

    def id(self):
        return next(self._ids)

    def create(self, name="a", **body):
        return self("create", {"colour": "red"} | body, parent=PARENT, toyId=name)

    def refused(self, verb, body=None, **parameters):
        with pytest.raises(ApiError) as caught:
            self(verb, body, **parameters)
        return caught.value


@pytest.fixture
def toybox():
    return Toybox()


def test_a_member_has_what_was_asked_for_and_the_defaults(toybox):
    operation = toybox.create(maker="me")
    assert toybox("get", name=f"{PARENT}/toys/a") == {
        "name": f"{PARENT}/toys/a", "size": 2, "colour": "red", "maker": "me", "state": "CREATING",
    }  # fmt: skip
    assert operation.type == "google.cloud.toybox.v1.Toybox.CreateToy"
    assert (operation.status, operation.target.path) == ("RUNNING", f"{PARENT}/toys/a")


def test_methods_ask_for_permissions_named_after_the_collection():
    needed = {name.rpartition(".")[2]: m.permission for name, m in TOYS.methods().items()}
    assert needed == {
        "get": "toybox.toys.get",
        "list": "toybox.toys.list",
        "create": "toybox.toys.create",
        "patch": "toybox.toys.update",
        "delete": "toybox.toys.delete",
    }


def test_what_the_region_writes_is_not_taken_from_a_client(toybox):
    toybox.create(state="READY")
    assert toybox("get", name=f"{PARENT}/toys/a")["state"] == "CREATING"


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [("A", {}, 400), ("a", {"colour": ""}, 400), ("a", {"size": 3}, 400), ("taken", {}, 400), ("b", {}, 409)],
)
def test_a_wrong_id_a_missing_field_a_bad_value_and_a_taken_name_are_refused(toybox, name, body, code):
    toybox.create("b")
    error = toybox.refused("create", {"colour": "red"} | body, parent=PARENT, toyId=name)
    assert error.code == code


def test_a_location_that_google_does_not_have_is_refused(toybox):
    wrong = "projects/demo/locations/mars"
    assert toybox.refused("create", {"colour": "red"}, parent=wrong, toyId="a").code == 404
    assert toybox.refused("list", parent=wrong).code == 404


def test_a_patch_changes_what_its_mask_names_and_nothing_else(toybox):
    toybox.create()
    name = f"{PARENT}/toys/a"
    toybox("patch", {"size": 4, "colour": "blue"}, name=name, updateMask="size")
    assert (toybox("get", name=name)["size"], toybox("get", name=name)["colour"]) == (4, "red")
    toybox("patch", {"colour": "blue"}, name=name)
    assert (toybox("get", name=name)["size"], toybox("get", name=name)["colour"]) == (4, "blue")
    toybox("patch", {}, name=name, updateMask="size")
    assert toybox("get", name=name)["size"] == 2


@pytest.mark.parametrize("mask", ["maker", "state", "nothing", "size,maker"])
def test_what_cannot_be_changed_is_refused_by_name(toybox, mask):
    toybox.create()
    error = toybox.refused("patch", {}, name=f"{PARENT}/toys/a", updateMask=mask)
    assert error.message == f"The fields {mask.rpartition(',')[2]} of a toy cannot be changed."


def test_a_change_of_an_older_version_is_refused(toybox):
    toybox.create()
    assert toybox.refused("patch", {"size": 4, "etag": "old"}, name=f"{PARENT}/toys/a").status == "ABORTED"


def test_what_is_used_is_not_deleted(toybox):
    toybox.create("u")
    toybox.world = toybox.world.after([Put(Resource(USER, 1, NOW, {}))])
    error = toybox.refused("delete", name=f"{PARENT}/toys/u")
    assert (error.status, USER.path in error.message) == ("FAILED_PRECONDITION", True)


def test_what_is_not_there_is_refused(toybox):
    for verb in ("get", "patch", "delete"):
        assert toybox.refused(verb, name=f"{PARENT}/toys/a").code == 404


def test_a_member_is_ready_when_the_kernel_has_it_and_its_operation_shows_it(toybox):
    operation = toybox.create()
    toybox.world = toybox.world.after(TOYS.converged(toybox.world, operation.target, NOW))
    assert TOYS.converged(toybox.world, operation.target, NOW) == ()
    response = TOYS.operation_response(toybox.world, operation)
    assert response is not None
    assert (response["@type"], response["state"]) == (
        "type.googleapis.com/google.cloud.toybox.v1.Toy",
        "READY",
    )
    gone = toybox("delete", name=f"{PARENT}/toys/a")
    assert TOYS.operation_response(toybox.world, gone) == {
        "@type": "type.googleapis.com/google.protobuf.Empty"
    }


def test_a_rule_may_end_an_operation_well_or_badly():
    quick = Toybox(replace(TOYS, created=lambda _w, _c, asked: Outcome(asked, done=True))).create()
    assert (quick.status, quick.response["colour"]) == ("DONE", "red")
    error = OperationError(400, "INVALID_ARGUMENT", "no")
    failed = Toybox(replace(TOYS, created=lambda _w, _c, asked: Outcome(asked, error=error))).create()
    assert (failed.status, failed.error) == ("DONE", error)


@given(
    st.lists(
        st.tuples(st.sampled_from(["create", "patch", "delete"]), st.sampled_from("abc"), st.integers(1, 3))
    )
)
def test_a_collection_keeps_what_a_dictionary_would(steps):
    toybox, model = Toybox(), {}
    for verb, name, half in steps:
        path, size = f"{PARENT}/toys/{name}", 2 * half
        if (name in model) == (verb == "create"):
            where = {"parent": PARENT, "toyId": name} if verb == "create" else {"name": path}
            assert toybox.refused(verb, {"colour": "red", "size": size}, **where).code in {404, 409}
        elif verb == "create":
            toybox.create(name, size=size)
            model[name] = size
        elif verb == "patch":
            toybox("patch", {"size": size}, name=path)
            model[name] = size
        else:
            toybox("delete", name=path)
            del model[name]
        listed = toybox("list", parent="projects/demo/locations/-")
        assert [(each["name"].rpartition("/")[2], each["size"]) for each in listed] == sorted(model.items())
