"""Names and references: what clients write in a dozen ways, the inside knows in one.

A reference may arrive as a full URL on either compute host, as ``projects/…``, as ``regions/…`` or as a bare
name (behaviour/api.md#references); inside it is a :class:`ResourceName`.
"""

import re
from dataclasses import dataclass
from typing import Literal

COMPUTE_PREFIX = "https://www.googleapis.com/compute/v1/"
"""Compute's self links carry this host even when called on compute.googleapis.com.

See behaviour/api.md#compute-operations.
"""

_URL = re.compile(r"^https?://(?:[\w-]+\.)*googleapis\.com/(?:compute/(?:v1|beta|alpha)/|v1/)?")

Scope = Literal["global", "regions", "zones"]


@dataclass(frozen=True, slots=True, order=True)
class ResourceName:
    """A resource's place: its ``collection`` (``compute.subnetworks``) and its ``path`` (``projects/…``)."""

    collection: str
    path: str

    def __str__(self) -> str:
        return self.path

    @property
    def service(self) -> str:
        return self.collection.partition(".")[0]

    @property
    def id(self) -> str:
        """The last segment: ``cloud-run-subnet``."""
        return self.path.rpartition("/")[2]

    def segment(self, after: str) -> str | None:
        """Return the segment after ``after``: for ``regions`` in ``projects/p/regions/r/x/y`` it is ``r``."""
        parts = self.path.split("/")
        for label, value in zip(parts[::2], parts[1::2], strict=False):
            if label == after:
                return value
        return None

    @property
    def project(self) -> str:
        return self.segment("projects") or ""

    @property
    def region(self) -> str | None:
        return self.segment("regions") or self.segment("locations")

    @property
    def self_link(self) -> str:
        """The full URL that compute's answers carry."""
        return COMPUTE_PREFIX + self.path


def compute_name(kind: str, project: str, scope: Scope, place: str | None, identifier: str) -> ResourceName:
    """Name a compute resource: ``compute_name("subnetworks", "p", "regions", "r", "s")``."""
    where = "global" if scope == "global" else f"{scope}/{place}"
    return ResourceName(f"compute.{kind}", f"projects/{project}/{where}/{kind}/{identifier}")


def parse_compute_reference(
    reference: str, kind: str, project: str, scope: Scope, place: str | None = None
) -> ResourceName:
    """Read a reference to a compute ``kind`` in any of Google's forms.

    What it leaves out comes from the other arguments.
    The scope in the reference wins; a bare name takes ``scope`` and ``place``. Raises ValueError when it
    names another kind, or a host that is not Google's.
    """
    path = _URL.sub("", reference.strip()).strip("/")
    parts = path.split("/")
    if len(parts) == 1:
        return compute_name(kind, project, scope, place, parts[0])
    if parts[0] == "projects":
        project, parts = parts[1], parts[2:]
    match parts:
        case ["global", found, identifier] if found == kind:
            return compute_name(kind, project, "global", None, identifier)
        case ["regions", where, found, identifier] if found == kind:
            return compute_name(kind, project, "regions", where, identifier)
        case ["zones", where, found, identifier] if found == kind:
            return compute_name(kind, project, "zones", where, identifier)
        case [found, identifier] if found == kind:
            return compute_name(kind, project, scope, place, identifier)
        case _:
            raise ValueError(f"{reference!r} does not name one of {kind}")
