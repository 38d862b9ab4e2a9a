"""The addresses of Cloud Run services: two hosts each, and a host per traffic tag.

One host can be worked out from what the user knows (``SERVICE-PROJECTNUMBER.REGION.run.app``), the other
carries a mark of the project (``SERVICE-MARK-CODE.a.run.app``); both serve the same. A tag stands before
either, parted by three hyphens (behaviour/cloud-run.md#urls). ``services`` computes with them, the ingress
reads them.
"""

import hashlib
from dataclasses import dataclass

REGION_CODES = {
    "africa-south1": "bq",
    "asia-east1": "de",
    "asia-east2": "df",
    "asia-northeast1": "an",
    "asia-northeast2": "dt",
    "asia-northeast3": "du",
    "asia-south1": "el",
    "asia-south2": "em",
    "asia-southeast1": "as",
    "asia-southeast2": "et",
    "australia-southeast1": "ts",
    "australia-southeast2": "km",
    "europe-central2": "lm",
    "europe-north1": "lz",
    "europe-southwest1": "no",
    "europe-west1": "ew",
    "europe-west10": "oe",
    "europe-west12": "og",
    "europe-west2": "nw",
    "europe-west3": "ey",
    "europe-west4": "ez",
    "europe-west6": "oa",
    "europe-west8": "oc",
    "europe-west9": "od",
    "me-central1": "ww",
    "me-central2": "wx",
    "me-west1": "zf",
    "northamerica-northeast1": "nn",
    "northamerica-northeast2": "pd",
    "southamerica-east1": "rj",
    "southamerica-west1": "tl",
    "us-central1": "uc",
    "us-east1": "ue",
    "us-east4": "uk",
    "us-east5": "ul",
    "us-south1": "vp",
    "us-west1": "uw",
    "us-west2": "wl",
    "us-west3": "wm",
    "us-west4": "wn",
}
"""Two letters for each region; all unverified (behaviour/cloud-run.md#urls)."""

_DIGITS = "abcdefghijklmnopqrstuvwxyz234567"
_MARK_LENGTH = 10
_TAG_END = "---"


@dataclass(frozen=True, slots=True)
class RunHost:
    """A host under run.app: the traffic ``tag`` before it, if any, and the ``service`` host itself."""

    tag: str | None
    service: str


def project_mark(project_number: int | str) -> str:
    """Return the ten characters that stand for a project in its services' hosts."""
    digest = hashlib.sha256(f"run.app/{project_number}".encode()).digest()
    return "".join(_DIGITS[byte % len(_DIGITS)] for byte in digest[:_MARK_LENGTH])


def region_code(region: str) -> str:
    """Return a region's two letters; one that the table lacks gets letters of its own, made from its name."""
    if region in REGION_CODES:
        return REGION_CODES[region]
    digest = hashlib.sha256(region.encode()).digest()
    return "x" + _DIGITS[digest[0] % 26]


def service_urls(service: str, project_number: int | str, region: str) -> tuple[str, str]:
    """Return a service's two URLs: the deterministic one, then the one with the project's mark."""
    return (
        f"https://{service}-{project_number}.{region}.run.app",
        f"https://{service}-{project_mark(project_number)}-{region_code(region)}.a.run.app",
    )


def tagged_url(url: str, tag: str) -> str:
    """Put a traffic tag before a service's URL."""
    return url.replace("https://", f"https://{tag}{_TAG_END}", 1)


def parse_host(host: str) -> RunHost | None:
    """Read a host (``Host`` header or server name, a port allowed); None when it is not under run.app."""
    name = host.partition(":")[0].rstrip(".").lower()
    if not name.endswith(".run.app"):
        return None
    tag, mark, service = name.partition(_TAG_END)
    if mark and tag and "." not in tag:
        return RunHost(tag, service)
    return RunHost(None, name)
