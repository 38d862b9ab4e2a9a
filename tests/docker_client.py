"""Real docker against a region: its own engine, and a Python image made of Debian packages as base."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from tests.registry import RegionRegistry

from fogbank.dataplane.linux.images.debian_roots import DebianRoot, DebianRoots
from fogbank.dataplane.linux.images.store import ImageStore
from fogbank.dataplane.linux.images.unpacked import UnpackedImages
from fogbank.resources.server_images import DOCKER, ServerImage
from fogbank.testing import RunningRegion, shared_cache

PYTHON = ServerImage(
    "python",
    ("python3", "python3-flask", "python3-redis", "dash"),
    links=(("/usr/bin/sh", "dash"), ("/usr/bin/python", "python3")),
)
"""What the article's base image has after its RUN lines."""


def cache() -> Path:
    """Return the cache that regions under test have."""
    return Path(os.environ.get("XDG_CACHE_HOME") or shared_cache()) / "fogbank" / "debian"


def fetch(image: ServerImage) -> DebianRoot:
    """Fetch an image with apt, unless an earlier run did."""
    return DebianRoots(cache()).fetch(image, print)


def blobs_of(root: DebianRoot) -> tuple[dict[str, bytes], bytes]:
    """Read an image: its blobs, and its manifest."""
    files = {each: (cache() / "blobs" / each.removeprefix("sha256:")).read_bytes() for each in root.blobs}
    manifest = files.pop(root.digest)
    return files, manifest


def push_base(region: RunningRegion, name: str, tag: str) -> None:
    """Push the base image into a repository of the region, from where a build takes it."""
    files, manifest = blobs_of(fetch(PYTHON))
    pushed = RegionRegistry(region).push(files, manifest, name, tag)
    assert pushed.status == 201, pushed


@dataclass(frozen=True)
class Docker:
    """docker's client, pointed at a region by `fogbank env`."""

    region: RunningRegion
    program: str

    def __call__(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        return self.region.run(self.program, *arguments, check=check)

    def image_id(self) -> str:
        """Return the id of the newest image."""
        return self("images", "--quiet").stdout.split()[0]


def docker_of(region: RunningRegion, folder: Path) -> Docker:
    """Point docker's client at a region; it is the machine's, or that of the engine's own package."""
    fetch(DOCKER)
    variables = json.loads(region.fogbank("env", "--format", "json"))
    engine = {key: value for key, value in variables.items() if key.startswith("DOCKER_") and value}
    region = replace(region, environment={**region.environment, **engine})
    found = shutil.which("docker")
    if found is None:
        store = ImageStore(folder / "store")
        digest = DebianRoots(cache()).adopt(DOCKER, store)
        found = str(UnpackedImages(store, folder / "roots").get(digest).root / "usr/bin/docker")
    return Docker(region, found)
