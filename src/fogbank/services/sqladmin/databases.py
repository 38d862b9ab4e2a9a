"""Databases and users of an instance: each change is work for its server.

The lists say what the server has: what it refuses to make, or has dropped, leaves them when it has answered
(`src/fogbank/services/sqladmin/work.py`).
"""

from collections.abc import Iterable

from fogbank.errors import ApiError, not_built
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Change, Json, Put, Resource, World
from fogbank.services.contract import Call, Decision
from fogbank.services.sqladmin.instances import DEFAULT_DATABASE, database, find, user
from fogbank.services.sqladmin.model import DATABASES, USERS
from fogbank.services.sqladmin.operations import opened
from fogbank.services.sqladmin.validation import check_word, invalid
from fogbank.services.sqladmin.work import with_work

ENCODINGS = {"", "UTF8"}


def insert_database(world: World, call: Call) -> Decision:
    """Make a database."""
    instance = _running(world, call)
    identifier = check_word(call.body.get("name"), "database")
    made = database(instance, identifier, call)
    if world.find(made.name) is not None:
        raise ApiError(
            409, f"database {identifier} already exists.", "ALREADY_EXISTS", "databaseAlreadyExists"
        )
    if str(call.body.get("charset") or "").upper() not in ENCODINGS:
        raise not_built(f"databases of Cloud SQL with charset={call.body['charset']} (UTF8 is)")
    if call.body.get("collation") not in {None, "", "C.UTF-8", "en_US.UTF8"}:
        raise not_built(f"databases of Cloud SQL with collation={call.body['collation']}")
    work = {"do": "create database", "name": identifier}
    return _queued(call, instance, "CREATE_DATABASE", work, (Put(made),))


def delete_database(world: World, call: Call) -> Decision:
    """Drop a database."""
    instance = _running(world, call)
    found = _database(world, call, instance)
    if found.name.id == DEFAULT_DATABASE:
        raise invalid("Invalid request: failed to delete database postgres: it is a system database.")
    work = {"do": "drop database", "name": found.name.id}
    return _queued(call, instance, "DELETE_DATABASE", work)


def get_database(world: World, call: Call) -> Json:
    """Show a database."""
    return _database(world, call, find(world, call)).body


def list_databases(world: World, call: Call) -> Iterable[Json]:
    """List the databases that the API knows."""
    return [each.body for each in world.all(DATABASES, f"{find(world, call).name.path}/databases/")]


def _database(world: World, call: Call, instance: Resource) -> Resource:
    name = ResourceName(DATABASES, f"{instance.name.path}/databases/{call['database']}")
    found = world.find(name)
    if found is None:
        raise ApiError(404, f"The database {name.id} does not exist.", "NOT_FOUND", "databaseDoesNotExist")
    return found


def insert_user(world: World, call: Call) -> Decision:
    """Make a user with a password."""
    instance = _running(world, call)
    identifier = check_word(call.body.get("name"), "user")
    if call.body.get("type") not in {None, "", "BUILT_IN"}:
        raise not_built(f"users of Cloud SQL with type={call.body['type']}")
    if call.body.get("databaseRoles"):
        raise not_built("users of Cloud SQL with databaseRoles")
    name = ResourceName(USERS, f"{instance.name.path}/users/{identifier}")
    if world.find(name) is not None:
        raise ApiError(409, f"user {identifier} already exists.", "ALREADY_EXISTS", "userAlreadyExists")
    work = {"do": "create user", "name": identifier, "password": _password(call)}
    made = user(instance, identifier, call)
    return _queued(call, instance, "CREATE_USER", work, (Put(made),))


def update_user(world: World, call: Call) -> Decision:
    """Give a user another password."""
    instance = _running(world, call)
    found = _user(world, call, instance)
    work = {"do": "set password", "name": found.name.id, "password": _password(call)}
    return _queued(call, instance, "UPDATE_USER", work)


def delete_user(world: World, call: Call) -> Decision:
    """Drop a user."""
    instance = _running(world, call)
    found = _user(world, call, instance)
    work = {"do": "drop user", "name": found.name.id}
    return _queued(call, instance, "DELETE_USER", work)


def get_user(world: World, call: Call) -> Json:
    """Show a user."""
    return _user(world, call, find(world, call)).body


def list_users(world: World, call: Call) -> Iterable[Json]:
    """List the users that the API knows."""
    return [each.body for each in world.all(USERS, f"{find(world, call).name.path}/users/")]


def _user(world: World, call: Call, instance: Resource) -> Resource:
    identifier = str(call.parameters.get("name") or "")
    found = world.find(ResourceName(USERS, f"{instance.name.path}/users/{identifier}"))
    if found is None:
        raise ApiError(404, f"The user {identifier} does not exist.", "NOT_FOUND", "userDoesNotExist")
    return found


def _password(call: Call) -> str:
    password = str(call.body.get("password") or "")
    if "\0" in password or len(password) > 500:
        raise invalid("Invalid request: Invalid password.")
    return password


def _running(world: World, call: Call) -> Resource:
    """Find an instance whose server can be told something."""
    instance = find(world, call)
    stopped = instance.body["settings"]["activationPolicy"] == "NEVER"
    if stopped or instance.body["state"] == "FAILED":
        raise invalid("Invalid request: Invalid request since instance is not running.")
    return instance


def _queued(
    call: Call, instance: Resource, kind: str, work: Json, changes: tuple[Change, ...] = ()
) -> Decision:
    """Leave ``work`` for the server. What it drops is listed until it is gone."""
    operation = opened(call, kind, instance.name)
    return Decision(
        (Put(with_work(instance, operation, work)), *changes, Put(operation)), answer=operation.body
    )
