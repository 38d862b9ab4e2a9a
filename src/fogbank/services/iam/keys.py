"""Keys of service accounts: the public half is kept, the private half is given away once.

To make a key takes chance, which services do not have; so the function that makes one is handed in.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fogbank.errors import ApiError, not_built
from fogbank.resources.names import ResourceName
from fogbank.resources.projects import ACCOUNT_KEYS
from fogbank.resources.world import Delete, Json, Put, Resource, World
from fogbank.services.collections import bad_request
from fogbank.services.contract import Call, Decision, Method, Write
from fogbank.services.iam.accounts import find
from fogbank.services.segments import segments

_FILE = "TYPE_GOOGLE_CREDENTIALS_FILE"
_ALGORITHM = "KEY_ALG_RSA_2048"
_CERTIFICATE = "certificate"
_KEYS = 10
"""How many keys an account may have (behaviour/iam.md#keys)."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made: its ``id``, its ``public`` half (PEM), the same in a ``certificate`` (PEM), and the
    credential file for the client.
    """

    id: str
    public: bytes
    certificate: bytes
    document: bytes


MakeKey = Callable[[Resource], NewKey]
"""Makes a key for a service account (its resource)."""


def creator(make_key: MakeKey) -> Method:
    """Make the method that creates keys with ``make_key``."""

    def create(world: World, call: Call) -> Decision:
        account = find(world, call)
        if (call.body.get("privateKeyType") or _FILE) != _FILE:
            raise not_built("service account keys that are no credential file")
        if (call.body.get("keyAlgorithm") or _ALGORITHM) != _ALGORITHM:
            raise bad_request(f"keyAlgorithm must be {_ALGORITHM}.")
        if sum(1 for _ in world.all(ACCOUNT_KEYS, f"{account.name.path}/keys/")) >= _KEYS:
            raise ApiError(400, "Precondition check failed.", "FAILED_PRECONDITION", "failedPrecondition")
        key = make_key(account)
        name = ResourceName(ACCOUNT_KEYS, f"{account.name.path}/keys/{key.id}")
        body = {
            "name": name.path,
            "validAfterTime": call.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "validBeforeTime": "9999-12-31T23:59:59Z",
            "keyAlgorithm": _ALGORITHM,
            "keyOrigin": "GOOGLE_PROVIDED",
            "keyType": "USER_MANAGED",
            "publicKeyData": b64encode(key.public).decode(),
        }
        answer = _show(body) | {
            "privateKeyType": _FILE,
            "privateKeyData": b64encode(key.document).decode(),
        }
        private = {_CERTIFICATE: b64encode(key.certificate).decode()}
        return Decision((Put(Resource(name, call.new_id(), call.now, body, private)),), answer=answer)

    return Write(create, "iam.serviceAccountKeys.create")


def _show(body: Json) -> Json:
    return {key: value for key, value in body.items() if key != "publicKeyData"}


def _find(world: World, call: Call) -> Resource:
    name = ResourceName(ACCOUNT_KEYS, f"{find(world, call).name.path}/keys/{segments(call)['keys']}")
    found = world.find(name)
    if found is None:
        raise ApiError(404, f"Service account key {name.id} does not exist.", "NOT_FOUND", "notFound")
    return found


def get(world: World, call: Call) -> Json:
    """Show a key; with its public half in the form that is asked for."""
    found = _find(world, call)
    body = found.body
    match call.parameters.get("publicKeyType") or "TYPE_NONE":
        case "TYPE_NONE":
            return _show(body)
        case "TYPE_RAW_PUBLIC_KEY":
            return body
        case "TYPE_X509_PEM_FILE" if _CERTIFICATE in found.private:
            return body | {"publicKeyData": found.private[_CERTIFICATE]}
        case kind:
            raise not_built(f"public keys as {kind}")


def list_(world: World, call: Call) -> Json:
    """List an account's keys."""
    under = f"{find(world, call).name.path}/keys/"
    wanted: Iterable[str] = call.parameters.get("keyTypes") or ["USER_MANAGED"]
    found = sorted(world.all(ACCOUNT_KEYS, under), key=lambda r: (r.created, r.id))
    return {"keys": [_show(r.body) for r in found if r.body["keyType"] in wanted]}


def delete(world: World, call: Call) -> Decision:
    """Delete a key: tokens signed by it are refused from then on."""
    return Decision((Delete(_find(world, call).name),), answer={})
