"""Public images: the families that instances may boot from, as their projects list them.

All of them are the same small Debian root, which the region assembles itself; the description says so. Their
names and dates are fixed, so that a region that is made anew has the same ones. The first image of a family
is its newest.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PublicImage:
    """An image of the ``project`` that Google publishes it in; ``disk_size_gb`` is the smallest disk."""

    project: str
    family: str
    name: str
    title: str
    licence: str
    architecture: str = "X86_64"
    disk_size_gb: int = 10

    @property
    def path(self) -> str:
        """Return where it stands: ``projects/debian-cloud/global/images/…``."""
        return f"projects/{self.project}/global/images/{self.name}"

    @property
    def description(self) -> str:
        """What the image says of itself."""
        return f"{self.title}. In this region instances of it boot a small Debian root instead."


_ALL = (
    PublicImage(
        "debian-cloud",
        "debian-11",
        "debian-11-bullseye-v20260610",
        "Debian 11 (bullseye)",
        "debian-11-bullseye",
    ),
    PublicImage(
        "debian-cloud",
        "debian-11",
        "debian-11-bullseye-v20220719",
        "Debian 11 (bullseye)",
        "debian-11-bullseye",
    ),
    PublicImage(
        "debian-cloud",
        "debian-12",
        "debian-12-bookworm-v20260610",
        "Debian 12 (bookworm)",
        "debian-12-bookworm",
    ),
    PublicImage(
        "debian-cloud", "debian-13", "debian-13-trixie-v20260610", "Debian 13 (trixie)", "debian-13-trixie"
    ),
    PublicImage(
        "ubuntu-os-cloud",
        "ubuntu-2204-lts",
        "ubuntu-2204-jammy-v20260612",
        "Ubuntu 22.04 LTS (jammy)",
        "ubuntu-2204-lts",
    ),
    PublicImage(
        "ubuntu-os-cloud",
        "ubuntu-2404-lts-amd64",
        "ubuntu-2404-noble-amd64-v20260612",
        "Ubuntu 24.04 LTS (noble)",
        "ubuntu-2404-lts",
    ),
    PublicImage(
        "ubuntu-os-cloud",
        "ubuntu-minimal-2204-lts",
        "ubuntu-minimal-2204-jammy-v20260612",
        "Ubuntu Minimal 22.04 LTS (jammy)",
        "ubuntu-2204-lts",
    ),
    PublicImage(
        "ubuntu-os-cloud",
        "ubuntu-minimal-2404-lts-amd64",
        "ubuntu-minimal-2404-noble-amd64-v20260612",
        "Ubuntu Minimal 24.04 LTS (noble)",
        "ubuntu-2404-lts",
    ),
)

PUBLIC_IMAGES: Mapping[str, PublicImage] = {image.path: image for image in _ALL}
"""Every public image, by path."""

IMAGE_PROJECTS = frozenset(image.project for image in _ALL)
"""The projects of Google's that publish them; anybody may read there."""


def newest_of(project: str, family: str) -> PublicImage | None:
    """Find the newest public image of a family."""
    return next((each for each in _ALL if (each.project, each.family) == (project, family)), None)
