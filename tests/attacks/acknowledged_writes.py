"""Writes of many kinds, each of which must be there after any `kill -9` once it was acknowledged.

The kinds differ in where they are kept: most in the database; an image's files beside it, as a push has
several requests of which only the last one makes the image visible.
"""

import base64
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.attacks.registry import MANIFEST, REGISTRY, REPOSITORIES, basic, descriptor, digest_of

from fogbank.testing import RunningRegion

COMPUTE = "https://compute.googleapis.com/compute/v1/projects/demo"
SECRETS = "https://secretmanager.googleapis.com/v1/projects/demo/secrets"
ZONES = "https://dns.googleapis.com/dns/v1/projects/demo/managedZones"
IMAGE = "demo/lasting/image"
CHECKED = 20
"""How many of the newest images are read again after each kill: all of them would take minutes."""


@dataclass(frozen=True, slots=True)
class Kind:
    """``write`` makes one thing of a name and says if it was acknowledged; ``present`` names those there.

    ``present`` gets the names that were acknowledged, oldest first.
    """

    prepare: Callable[[RunningRegion], None]
    write: Callable[[RunningRegion, str], bool]
    present: Callable[[RunningRegion, list[str]], set[str]]


def _nothing(_region: RunningRegion) -> None:
    """Nothing has to be there before."""


def _write_rule(region: RunningRegion, name: str) -> bool:
    rule = {"name": name, "allowed": [{"IPProtocol": "tcp"}], "sourceTags": [name]}
    return region.api("POST", f"{COMPUTE}/global/firewalls", rule)[0] == 200


def _rules(region: RunningRegion, _known: list[str]) -> set[str]:
    return {each["name"] for each in _listed(region, f"{COMPUTE}/global/firewalls?maxResults=500", "items")}


def _make_secret(region: RunningRegion) -> None:
    _made(region.api("POST", f"{SECRETS}?secretId=lasting", {"replication": {"automatic": {}}}))


def _write_secret(region: RunningRegion, name: str) -> bool:
    payload = {"data": base64.b64encode(name.encode()).decode()}
    status, version = region.api("POST", f"{SECRETS}/lasting:addVersion", {"payload": payload})
    return status == 200 and version["state"] == "ENABLED"


def _secrets(region: RunningRegion, known: list[str]) -> set[str]:
    """Read the newest payloads; those before must at least have their versions."""
    versions = _listed(region, f"{SECRETS}/lasting/versions?pageSize=1000", "versions")
    ids = sorted((int(each["name"].rpartition("/")[2]) for each in versions), reverse=True)
    found = set(known[:-CHECKED]) if len(ids) >= len(known) else set()
    for number in ids[: CHECKED * 2]:  # what was written and not acknowledged lies between
        _, answer = region.api("GET", f"{SECRETS}/lasting/versions/{number}:access")
        found.add(base64.b64decode(answer["payload"]["data"]).decode())
    return found


def _make_zone(region: RunningRegion) -> None:
    zone = {"name": "lasting", "dnsName": "lasting.example.", "description": "", "visibility": "private"}
    _made(region.api("POST", ZONES, zone))


def _write_record(region: RunningRegion, name: str) -> bool:
    record = {"name": f"{name}.lasting.example.", "type": "A", "ttl": 60, "rrdatas": ["10.0.0.1"]}
    return region.api("POST", f"{ZONES}/lasting/rrsets", record)[0] == 200


def _records(region: RunningRegion, _known: list[str]) -> set[str]:
    found = _listed(region, f"{ZONES}/lasting/rrsets?maxResults=500", "rrsets")
    return {each["name"].partition(".")[0] for each in found if each["type"] == "A"}


def _make_repository(region: RunningRegion) -> None:
    _made(region.api("POST", f"{REPOSITORIES}?repositoryId=lasting", {"format": "DOCKER"}))


def _write_image(region: RunningRegion, name: str) -> bool:
    layer = name.encode() * 1000
    for content in (b"{}", layer):
        path = f"/v2/{IMAGE}/blobs/uploads/?digest={digest_of(content)}"
        if _registry(region, "POST", path, content)[0] != 201:
            return False
    layers = [descriptor(digest_of(layer), size=len(layer))]
    manifest = {"schemaVersion": 2, "config": descriptor(digest_of(b"{}")), "layers": layers}
    return _registry(region, "PUT", f"/v2/{IMAGE}/manifests/{name}", json.dumps(manifest).encode())[0] == 201


def _images(region: RunningRegion, known: list[str]) -> set[str]:
    """Read the newest images with their layers; those before must at least have their tags."""
    status, text = _registry(region, "GET", f"/v2/{IMAGE}/tags/list?n=1000")
    tags = set(json.loads(text)["tags"]) if status == 200 else set()
    newest = set(known[-CHECKED:])
    return {tag for tag in tags if tag not in newest or _is_whole(region, tag)}


def _is_whole(region: RunningRegion, tag: str) -> bool:
    status, text = _registry(region, "GET", f"/v2/{IMAGE}/manifests/{tag}")
    if status != 200:
        return False
    (layer,) = json.loads(text)["layers"]
    return _registry(region, "GET", f"/v2/{IMAGE}/blobs/{layer['digest']}") == (200, tag.encode() * 1000)


KINDS: Mapping[str, Kind] = {
    "rule": Kind(_nothing, _write_rule, _rules),
    "secret": Kind(_make_secret, _write_secret, _secrets),
    "record": Kind(_make_zone, _write_record, _records),
    "image": Kind(_make_repository, _write_image, _images),
}


def _registry(region: RunningRegion, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    key = Path(region.environment["GOOGLE_APPLICATION_CREDENTIALS"]).read_text()
    headers = {"Content-Type": MANIFEST, "Authorization": basic(f"_json_key:{key}")}
    with contextlib.closing(region.connect(REGISTRY)) as connection:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def _listed(region: RunningRegion, url: str, field: str) -> Iterator[dict[str, str]]:
    page = ""
    while True:
        _, answer = region.api("GET", f"{url}&pageToken={page}")
        yield from answer.get(field, ())
        page = answer.get("nextPageToken", "")
        if not page:
            return


def _made(answer: tuple[int, object]) -> None:
    assert answer[0] == 200, answer
