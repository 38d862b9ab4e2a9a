"""Identities for tests: a region's secrets in a folder, over a World that a test fills."""

import base64
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from tests.worlds import NOW, resource

from fogbank.frontend.http.asgi import HttpRequest
from fogbank.frontend.iam import jwt
from fogbank.frontend.iam.accounts import WorldDirectory, operator_account
from fogbank.frontend.iam.identity import Identity, open_identity
from fogbank.resources.authorization import Policies
from fogbank.resources.names import ResourceName
from fogbank.resources.policies import policy_of
from fogbank.resources.projects import ACCOUNT_KEYS, service_account
from fogbank.resources.world import Put, Resource, World

ROBOT = "robot@demo.iam.gserviceaccount.com"


@dataclass
class Region:
    """A region as far as identity goes."""

    identity: Identity
    folder: Path
    skipped: list[float]
    world: World = field(default_factory=World)

    def pass_time(self, seconds: float) -> None:
        """Have the machine's clock go on."""
        self.skipped.append(seconds)

    def put(self, *resources: Resource) -> None:
        self.world = self.world.after([Put(each) for each in resources])

    def add_account(self, email=ROBOT, **body):
        made = service_account("demo", email, "", NOW, lambda: 7)
        self.put(made.with_body(**body))
        return made

    def add_key(self, email=ROBOT):
        pair = jwt.new_key_pair()
        name = ResourceName(ACCOUNT_KEYS, f"projects/demo/serviceAccounts/{email}/keys/{pair.kid}")
        self.put(resource(name, {"publicKeyData": base64.b64encode(pair.public).decode()}))
        return pair

    def set_policy(self, collection, path, **bindings):
        roles = {role.replace("__", "/").replace("_", "."): members for role, members in bindings.items()}
        self.put(resource(ResourceName(collection, path), policy_of(roles, 1)))

    @property
    def bearer(self):
        return f"Bearer {self.identity.access_token(self.identity.operator.email)}"


def region_in(folder: Path) -> Region:
    """Open a region's identity in ``folder``."""
    skipped: list[float] = []
    worlds: list[Region] = []
    directory = WorldDirectory(lambda: worlds[0].world, Policies(operator_account("demo"), lambda: NOW))
    identity = open_identity(
        folder, folder / "credentials.json", "demo", directory, lambda: time.time() + sum(skipped)
    )
    region = Region(identity, folder, skipped)
    worlds.append(region)
    return region


def ask(method, url, *, headers=None, form=None, body=None, client="127.0.0.1"):
    """Make the request that a server would have read."""
    host, _, rest = url.removeprefix("https://").removeprefix("http://").partition("/")
    path, _, query = rest.partition("?")
    content = urlencode(form).encode() if form else json.dumps(body).encode() if body is not None else b""
    kind = "application/x-www-form-urlencoded" if form else "application/json"
    return HttpRequest(
        method,
        host,
        f"/{path}",
        query,
        {"content-type": kind, "host": host, **(headers or {})},
        content,
        client,
    )
