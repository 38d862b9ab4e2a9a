"""The region's image store."""

import json

import pytest

from fogbank.dataplane.linux.images.store import (
    CONFIG_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    BadContent,
    ImageConfig,
    ImageMissing,
    ImageStore,
    architecture,
    digest_of,
)
from fogbank.errors import DriverError

NAME = "us-docker.pkg.dev/p/r/app"


def manifest_of(registry: ImageStore, config: dict, layer: bytes = b"layer") -> bytes:
    config_digest = registry.put_blob(json.dumps({"config": config}).encode())
    layer_digest = registry.put_blob(layer)
    return json.dumps(
        {
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "digest": config_digest, "size": 1},
            "layers": [{"mediaType": LAYER_TYPE, "digest": layer_digest, "size": 5}],
        }
    ).encode()


@pytest.fixture
def registry(tmp_path) -> ImageStore:
    return ImageStore(tmp_path)


def test_a_pushed_image_resolves_by_tag_and_by_digest_also_after_a_restart(registry):
    digest = registry.put_manifest(f"{NAME}:v1", manifest_of(registry, {}))
    for store in (registry, ImageStore(registry.folder)):
        assert store.resolve(f"{NAME}:v1") == digest
        assert store.resolve(f"{NAME}@{digest}") == digest


def test_a_moved_tag_leaves_the_old_digest(registry):
    old = registry.put_manifest(NAME, manifest_of(registry, {"User": "a"}))
    new = registry.put_manifest(NAME, manifest_of(registry, {"User": "b"}))
    assert registry.resolve(NAME) == new
    assert registry.config(old).user == "a"


@pytest.mark.parametrize("reference", [NAME, f"{NAME}@sha256:{'0' * 64}", "not an image", "nginx"])
def test_a_missing_image_says_so_in_cloud_runs_words(registry, reference):
    with pytest.raises(ImageMissing) as raised:
        registry.resolve(reference)
    assert str(raised.value) == f"Image '{reference}' not found."


def test_a_blob_that_is_not_what_it_claims_is_refused(registry):
    with pytest.raises(BadContent, match="hashes to"):
        registry.put_blob(b"content", digest_of(b"other"))


def test_a_manifest_whose_parts_are_missing_is_refused(registry):
    layer = {"digest": digest_of(b"nowhere"), "mediaType": LAYER_TYPE}
    content = json.dumps({"config": layer, "layers": []}).encode()
    with pytest.raises(BadContent, match="not here"):
        registry.put_manifest(NAME, content)


def test_a_path_is_never_made_from_something_else_than_a_digest(registry):
    with pytest.raises(BadContent):
        registry.blob("sha256:../../etc/passwd")


def test_the_configuration_is_read(registry):
    config = {"Entrypoint": ["/a"], "Cmd": ["b"], "Env": ["X=1=2", "Y="], "WorkingDir": "/w", "User": "u"}
    digest = registry.put_manifest(NAME, manifest_of(registry, config))
    assert registry.config(digest) == ImageConfig(("/a",), ("b",), (("X", "1=2"), ("Y", "")), "/w", "u")


def test_of_several_platforms_this_machines_is_taken(registry):
    mine, other = (registry.put_blob(manifest_of(registry, {"User": user})) for user in ("mine", "other"))
    index = {
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {"digest": other, "platform": {"os": "linux", "architecture": "s390x"}},
            {"digest": mine, "platform": {"os": "linux", "architecture": architecture()}},
        ],
    }
    digest = registry.put_manifest(NAME, json.dumps(index).encode())
    assert registry.config(digest).user == "mine"


def test_an_image_for_other_machines_only_says_so(registry):
    other = registry.put_blob(manifest_of(registry, {}))
    index = {"manifests": [{"digest": other, "platform": {"os": "linux", "architecture": "s390x"}}]}
    digest = registry.put_manifest(NAME, json.dumps(index).encode())
    with pytest.raises(DriverError, match="no variant"):
        registry.layers(digest)
