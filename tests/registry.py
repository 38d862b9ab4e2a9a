"""The registry, asked without sockets or through a region's proxy, and small images to push."""

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

from tests import worlds
from tests.identities import Region as Identities
from tests.identities import region_in

from fogbank.frontend.registry.application import RegistryApplication
from fogbank.frontend.registry.exchange import Registry
from fogbank.resources import artifactregistry as ar
from fogbank.resources.authorization import Policies
from fogbank.resources.decisions import Decision
from fogbank.resources.manifests import OCI_MANIFEST
from fogbank.resources.names import ResourceName
from fogbank.resources.policies import policy_of
from fogbank.resources.world import Put
from fogbank.services.artifactregistry.repositories import new_repository
from fogbank.store.blobs import BlobStore
from fogbank.store.journal import Journal
from fogbank.store.store import Store

HOST = "asia-northeast1-docker.pkg.dev"
REPOSITORY = ar.repository_name("demo", "asia-northeast1", "run-repo")
NAME = "demo/run-repo/flask"


def digest_of(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class Image:
    """An image as it is pushed."""

    layers: tuple[bytes, ...]
    config: bytes
    manifest: bytes
    media_type: str = OCI_MANIFEST

    @property
    def digest(self):
        return digest_of(self.manifest)

    @property
    def blobs(self):
        return (*self.layers, self.config)


def layer(files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def image(*layers, **manifest):
    """Make an image of layers; ``manifest`` has more fields of it."""
    config = json.dumps(
        {
            "created": "2026-11-22T01:02:03Z",
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest_of(each) for each in layers]},
        }
    ).encode()
    described = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": part(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [part(each, "application/vnd.oci.image.layer.v1.tar") for each in layers],
        **manifest,
    }
    return Image(layers, config, json.dumps(described).encode())


def part(content, media_type):
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


@dataclass
class Answer:
    """What the registry answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        (error,) = self.json["errors"]
        return self.status, error["code"], error["message"]


@dataclass
class Server:
    """The registry's application over a World of its own, and who asks it."""

    folder: Path
    identities: Identities
    store: Store
    blobs: BlobStore
    application: RegistryApplication
    authorization: str | None = None

    async def put(self, *resources):
        await self.store.commit(lambda _: Decision(tuple(Put(each) for each in resources)))
        self.identities.world = self.store.world

    async def bind(self, repository, **roles):
        """Set a repository's policy: ``artifactregistry_reader=["allUsers"]``."""
        bindings = {f"roles/{role.replace('_', '.')}": members for role, members in roles.items()}
        name = ResourceName(ar.POLICIES, repository.path)
        await self.put(worlds.resource(name, policy_of(bindings, 1)))

    async def ask(self, method, target, body=b"", *, host=HOST, headers=None, pieces=None, authorization=""):
        """Send one request; ``pieces`` are the messages of its body."""
        path, _, query = target.partition("?")
        given = {"host": host, **({"content-length": str(len(body))} if body else {}), **(headers or {})}
        authorization = self.authorization if authorization == "" else authorization
        if authorization:
            given["authorization"] = authorization
        messages = iter(pieces if pieces is not None else [{"type": "http.request", "body": body}])
        sent = []

        async def receive():
            return next(messages, {"type": "http.disconnect"})

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }
        await self.application(scope, receive, send)
        if not sent:
            return None
        head = {n.decode().lower(): v.decode() for n, v in sent[0]["headers"]}
        return Answer(sent[0]["status"], head, b"".join(each.get("body", b"") for each in sent[1:]))

    async def push(self, made, name=NAME, tag="latest", **more):
        """Push an image as docker does; gives the answer to its manifest."""
        for blob in made.blobs:
            begun = await self.ask("POST", f"/v2/{name}/blobs/uploads/", **more)
            assert begun.status == 202, begun
            where = begun.headers["location"]
            assert (await self.ask("PATCH", where, blob, **more)).status == 202
            assert (await self.ask("PUT", f"{where}?digest={digest_of(blob)}", **more)).status == 201
        kind = {"content-type": made.media_type}
        return await self.ask("PUT", f"/v2/{name}/manifests/{tag}", made.manifest, headers=kind, **more)

    def files(self):
        """List what is on the disk: names of blobs, and of uploads that are under way."""
        found = self.folder / "registry"
        return (
            {path.name for path in (found / "blobs" / "sha256").iterdir()},
            [path.name for path in (found / "uploads").iterdir()],
        )


async def serve_in(folder):
    """Make a registry with one repository, asked by the operator."""
    identities = region_in(folder)
    store, blobs = Store(Journal(folder / "world.sqlite")), BlobStore(folder / "registry")
    ids = count(1000)
    access = Policies(identities.identity.operator.email, lambda: worlds.NOW)
    parts = Registry(
        store, blobs, access, lambda _world, _project: None, lambda: worlds.NOW, lambda: next(ids)
    )
    server = Server(
        folder, identities, store, blobs, RegistryApplication(parts, identities.identity), identities.bearer
    )
    await server.put(new_repository(REPOSITORY, worlds.NOW, lambda: next(ids)))
    return server


class RegionRegistry:
    """The registry of a running region, through its proxy."""

    def __init__(self, region, host=HOST):
        self._region, self._host = region, host
        self.authorization = f"Bearer {region.token('artifactregistry.googleapis.com')}"

    def ask(self, method, target, body=b"", headers=None):
        connection = self._region.connect(self._host)
        try:
            given = {"Authorization": self.authorization, **(headers or {})}
            connection.request(method, target, body, given)
            got = connection.getresponse()
            return Answer(got.status, {n.lower(): v for n, v in got.getheaders()}, got.read())
        finally:
            connection.close()

    def push(self, blobs, manifest, name, tag, media_type=OCI_MANIFEST):
        """Push an image of files: blobs by digest, and a manifest."""
        for digest, blob in blobs.items():
            begun = self.ask("POST", f"/v2/{name}/blobs/uploads/")
            assert begun.status == 202, begun
            where = urlsplit(begun.headers["location"]).path
            done = self.ask("PUT", f"{where}?digest={digest}", blob)
            assert done.status == 201, done
        return self.ask("PUT", f"/v2/{name}/manifests/{tag}", manifest, {"Content-Type": media_type})
