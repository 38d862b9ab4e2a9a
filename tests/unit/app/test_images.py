"""Where images come from: the registry, what is built in, and what stays on the disk for whom."""

import json
from itertools import count

import pytest
from tests import worlds
from tests.registry import REPOSITORY, digest_of, image, layer

from fogbank.app.images import ImageSources
from fogbank.control.controller import ImageDenied
from fogbank.dataplane.linux.images.store import MANIFEST_TYPE, ImageMissing, ImageStore
from fogbank.resources import artifactregistry as ar
from fogbank.resources.authorization import Policies
from fogbank.resources.manifests import parse_manifest
from fogbank.resources.names import ResourceName
from fogbank.resources.policies import policy_of
from fogbank.resources.projects import project_number, service_agent
from fogbank.resources.world import Delete, Put, World
from fogbank.services.artifactregistry.pushes import Received, pushed
from fogbank.services.artifactregistry.repositories import new_repository
from fogbank.store.blobs import BlobStore

TAG = "asia-northeast1-docker.pkg.dev/demo/run-repo/flask:test"
HOSTED = ar.HostedImage(REPOSITORY, "flask")


class Sources:
    """A World with one repository, its files, and the store of what was loaded."""

    def __init__(self, folder):
        self.folder, self.ids = folder, count(1)
        self.world = World().after([Put(new_repository(REPOSITORY, worlds.NOW, self.new_id))])
        self.loaded, self.blobs = ImageStore(folder), BlobStore(folder)
        self.images = ImageSources(lambda: self.world, Policies("", lambda: worlds.NOW), self.loaded, folder)

    def new_id(self):
        return next(self.ids)

    def push(self, made, tag="test"):
        for blob in (*made.blobs, made.manifest):
            self.blobs.put(blob, REPOSITORY.path, str(self.new_id()))
        manifest = parse_manifest(made.manifest, "")
        received = Received(made.digest, manifest, dict.fromkeys(manifest.blobs, 1), 1, "")
        decision = pushed(self.world, HOSTED, received, tag, now=worlds.NOW, new_id=self.new_id)
        self.world = self.world.after(decision.changes)

    def load(self, made, reference):
        for blob in made.blobs:
            self.loaded.put_blob(blob)
        self.loaded.put_manifest(reference, made.manifest)

    def give(self, role, project="demo"):
        agent = service_agent(project_number(self.world, project))
        policy = policy_of({role: [f"serviceAccount:{agent}"]}, self.new_id())
        self.world = self.world.after([Put(worlds.resource(ar.policy_name(REPOSITORY), policy))])

    def has(self, made):
        found = {path.name for path in (self.folder / "blobs" / "sha256").iterdir()}
        return {digest_of(each)[7:] for each in (*made.blobs, made.manifest)} <= found


@pytest.fixture
def sources(tmp_path):
    return Sources(tmp_path)


def test_a_tag_is_what_was_pushed_for_an_agent_that_may_read(sources):
    made = image(layer({"a": b"1"}))
    sources.push(made)
    with pytest.raises(ImageDenied):
        sources.images.resolve(TAG, "demo")
    sources.give("roles/artifactregistry.reader")
    assert sources.images.resolve(TAG, "demo") == made.digest
    assert sources.images.resolve(f"{TAG.removesuffix(':test')}@{made.digest}", "demo") == made.digest
    with pytest.raises(ImageMissing, match="not found"):
        sources.images.resolve(f"{TAG}-2", "demo")
    with pytest.raises(ImageDenied):
        sources.images.resolve(TAG, "other-project")


def test_what_was_loaded_is_found_whoever_asks(sources):
    made = image(layer({"a": b"1"}))
    sources.load(made, "docker.io/library/app:1")
    assert sources.images.resolve("app:1", "demo") == made.digest
    with pytest.raises(ImageMissing):
        sources.images.resolve("app:2", "demo")


def test_blobs_stay_for_images_for_what_was_loaded_and_for_what_runs(sources):
    kept, loaded, running, gone = (image(layer({"a": text})) for text in (b"1", b"2", b"3", b"4"))
    sources.push(kept, "kept")
    sources.load(loaded, "docker.io/library/app:1")
    sources.push(running, "running")
    sources.push(gone, "gone")
    for each in (running, gone):
        sources.world = sources.world.after([Delete(HOSTED.version(each.digest))])
    status = {"status": {"imageDigest": f"{TAG.removesuffix(':test')}@{running.digest}"}}
    name = ResourceName("run.revisions", "projects/demo/locations/asia-northeast1/revisions/r-1")
    sources.world = sources.world.after([Put(worlds.resource(name, status))])
    assert sources.images.collect(seconds=3600) == 0
    assert sources.images.collect(seconds=-3600) == 3
    assert [sources.has(each) for each in (kept, loaded, running, gone)] == [True, True, True, False]


def test_an_index_keeps_what_it_names(sources):
    made = image(layer({"a": b"1"}))
    sources.load(made, f"docker.io/library/app@{made.digest}")
    described = {"digest": made.digest, "size": len(made.manifest), "mediaType": MANIFEST_TYPE}
    index = json.dumps({"schemaVersion": 2, "manifests": [described]}).encode()
    sources.loaded.put_manifest("docker.io/library/app:multi", index)
    assert sources.images.collect(seconds=-3600) == 0
    assert sources.has(made)
