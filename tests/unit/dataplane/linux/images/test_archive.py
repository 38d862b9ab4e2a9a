"""Archives of images: docker's kind and OCI's, and what is none."""

import gzip
import io
import json
import tarfile

import pytest
from tests.registry import digest_of, image, layer

from fogbank.dataplane.linux.images.archive import load_archive
from fogbank.dataplane.linux.images.store import BadContent, ImageStore
from fogbank.dataplane.linux.images.unpacked import UnpackedImages

MADE = image(layer({"a": b"1"}))


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path / "store")


def archive(folder, files):
    path = folder / "archive.tar"
    with tarfile.open(path, "w") as made:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    return path


def saved(packed=False, **more):
    """What ``docker save app:1`` writes."""
    (content,) = MADE.layers
    described = [{"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["0/layer.tar"], **more}]
    return {
        "c.json": MADE.config,
        "0/layer.tar": gzip.compress(content) if packed else content,
        "manifest.json": json.dumps(described).encode(),
    }


def layout(content=MADE.manifest, digest=MADE.digest, **annotations):
    """What skopeo writes as an OCI archive."""
    index = {"manifests": [{"digest": digest, "annotations": annotations}]}
    blobs = {f"blobs/sha256/{digest_of(each)[7:]}": each for each in MADE.blobs}
    return {
        "./index.json": json.dumps(index).encode(),
        **blobs,
        f"blobs/sha256/{digest[7:]}": content,
    }


@pytest.mark.parametrize("packed", [False, True])
def test_an_image_that_docker_saved_is_loaded_under_its_name(store, tmp_path, packed):
    found = load_archive(archive(tmp_path, saved(packed=packed)), store)
    assert store.resolve("app:1") == found["app:1"]
    root = UnpackedImages(store, tmp_path / "roots").get(found["app:1"]).root
    assert (root / "a").read_bytes() == b"1"


def test_an_oci_archive_keeps_its_manifest(store, tmp_path):
    name = {"org.opencontainers.image.ref.name": "gcr.io/demo/app:1"}
    load_archive(archive(tmp_path, layout(**name)), store)
    assert store.resolve("gcr.io/demo/app:1") == MADE.digest


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "no archive of images"),
        ({"manifest.json": b"[1]"}, "no archive of images"),
        ({"manifest.json": b"{"}, "no archive of images"),
        (saved(RepoTags=None), "has a name"),
        (saved(Layers=["missing"]), "no archive of images"),
        (layout(), "has a name"),
        (layout(b"{}", **{"io.containerd.image.name": "x"}), "something else"),
    ],
)
def test_what_is_no_archive_of_images_is_refused(store, tmp_path, files, why):
    with pytest.raises(BadContent, match=why):
        load_archive(archive(tmp_path, files), store)
    assert store.images() == {}


def test_a_file_that_is_no_tar_is_refused(store, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"text")
    with pytest.raises(BadContent, match="no archive of images"):
        load_archive(path, store)
