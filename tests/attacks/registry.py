"""The registry of images: names and digests that are paths, giant and malformed manifests, others' images."""

import base64
import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.attacks.roles import owner_elsewhere
from tests.attacks.table import Tally, attack
from tests.attacks.target import Target

from fogbank.resources.manifests import MOST_PARTS

REGISTRY = "asia-northeast3-docker.pkg.dev"
REPOSITORIES = (
    "https://artifactregistry.googleapis.com/v1/projects/demo/locations/asia-northeast3/repositories"
)
IMAGE = "demo/attacked/image"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = b"{}"
NO_DIGEST = "sha256:" + "0" * 64
PATHS = (
    "../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", "..", "%2e%2e", "sha256:..%2f" + "0" * 59,
    "sha256:" + "0" * 63 + "%00", "sha256:" + "A" * 64, "sha512:" + "0" * 128, "sha256:", "%00", "a" * 9000,
    "sha256:" + "0" * 64 + "/../" + "0" * 64,
)  # fmt: skip
NAMES = (
    "demo/../demo/attacked/image", "demo/attacked/..", "demo/attacked/%2e%2e/%2e%2e/x",
    "demo//attacked/image",
    "demo/attacked/image%00", "demo/attacked/" + "a" * 5000, "..%2f..%2fblobs/x/y", "demo/attacked/im%0aage",
    "demo/-/image", "demo/attacked/%c3%a9", "projects/demo/locations/attacked/image",
)  # fmt: skip


@functools.cache
def key_of(bits: int) -> str:
    key = rsa.generate_private_key(65537, bits)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


Sent = tuple[int, bytes]


class Client:
    """Speaks to the registry with a token, or with whatever ``authorization`` is."""

    def __init__(self, target: Target, authorization: str) -> None:
        self._target, self._authorization = target, authorization

    def send(self, method: str, path: str, body: bytes = b"", type_: str = MANIFEST) -> Sent:
        connection = self._target.region.connect(REGISTRY)
        try:
            headers = {"Content-Type": type_}
            if self._authorization:
                headers["Authorization"] = self._authorization
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def push(self, content: bytes, image: str = IMAGE) -> Sent:
        """Push a blob."""
        return self.send("POST", f"/v2/{image}/blobs/uploads/?digest={digest_of(content)}", content)


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def prepared(target: Target) -> Client:
    """Give the owner's client, and the repository with one blob."""
    target.region.api("POST", f"{REPOSITORIES}?repositoryId=attacked", {"format": "DOCKER"})
    key = Path(target.region.environment["GOOGLE_APPLICATION_CREDENTIALS"]).read_text()
    owner = Client(target, basic(f"_json_key:{key}"))
    status, text = owner.push(CONFIG)
    assert status == 201, text
    return owner


def basic(pair: str) -> str:
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def refused(answer: Sent) -> bool:
    return 400 <= answer[0] < 500


def descriptor(digest: str = "", **more: Any) -> dict[str, Any]:
    return {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 2, **more}


def malformed_manifests() -> Iterator[tuple[str, bytes, str]]:
    """Give manifests that no registry may take, each with its content type."""
    good = descriptor(digest_of(CONFIG))

    def image(**fields: Any) -> bytes:
        return json.dumps(
            {"schemaVersion": 2, "mediaType": MANIFEST, "config": good, "layers": []} | fields
        ).encode()

    yield "deep JSON", b"[" * 500_000, MANIFEST
    yield "deep JSON in a field", image(annotations=0)[:-1] + b',"x":' + b'{"a":' * 200_000, MANIFEST
    yield "no JSON", b"\xff\xfe", MANIFEST
    yield "a list", b"[]", MANIFEST
    yield "a number of 5,000 digits", b'{"schemaVersion": ' + b"2" * 5000 + b"}", MANIFEST
    yield (
        "a size of 4,000 digits",
        image(layers=[good, good | {"size": -1}]).replace(b"-1", b"9" * 4000),
        MANIFEST,
    )
    yield "a negative size", image(layers=[good | {"size": -1}]), MANIFEST
    yield "a digest that is a path", image(config=descriptor("sha256:../../../../etc/passwd")), MANIFEST
    yield "a blob that is not there", image(layers=[descriptor(NO_DIGEST)]), MANIFEST
    yield "5 MB", image(annotations={"a": "x" * 5_000_000}), MANIFEST
    yield "100,000 layers", image(layers=[good] * 30_000), MANIFEST
    yield "an index of what is not there", image(manifests=[descriptor(NO_DIGEST)], mediaType=INDEX), INDEX
    yield "another type", image(), "text/html"
    yield "schema 1", b'{"schemaVersion": 1}', "application/vnd.docker.distribution.manifest.v1+json"


@attack("registry")
def names_and_digests_that_are_paths(target: Target, tally: Tally, door: str) -> None:
    """With every right: what is no name or digest is refused before it is a file."""
    owner = prepared(target)
    for text in PATHS:
        for method, path in (
            ("GET", f"/v2/{IMAGE}/blobs/{text}"),
            ("DELETE", f"/v2/{IMAGE}/blobs/{text}"),
            ("GET", f"/v2/{IMAGE}/manifests/{text}"),
            ("PATCH", f"/v2/{IMAGE}/blobs/uploads/{text}"),
            ("PUT", f"/v2/{IMAGE}/blobs/uploads/{text}?digest={digest_of(CONFIG)}"),
            ("POST", f"/v2/{IMAGE}/blobs/uploads/?digest={text}"),
            ("GET", f"/v2/{IMAGE}/referrers/{text}"),
        ):
            answer = owner.send(method, path)
            tally.expect(refused(answer), f"{method} {path[:100]}: {answer}")
    for name in NAMES:
        for method, rest in (("POST", "blobs/uploads/"), ("GET", "tags/list"), ("PUT", "manifests/latest")):
            answer = owner.send(method, f"/v2/{name}/{rest}")
            tally.expect(refused(answer), f"{method} {name[:100]}: {answer}")


@attack("registry")
def malformed_manifests_of_owners(target: Target, tally: Tally, door: str) -> None:
    owner = prepared(target)
    for what, content, kind in malformed_manifests():
        for reference in ("latest", digest_of(content)):
            answer = owner.send("PUT", f"/v2/{IMAGE}/manifests/{reference}", content, kind)
            tally.expect(refused(answer), f"{what}: {answer[0]} {answer[1][:200]!r}")


@attack("registry")
def images_with_odd_configurations(target: Target, tally: Tally, door: str) -> None:
    """A configuration may be anything; whoever reads it must not fall over it."""
    owner = prepared(target)
    for what, content in (
        ("deep JSON", b"[" * 200_000),
        ("a date that is none", b'{"created": "2026-99-99T99:99:99Z"}'),
        ("half a surrogate", b'{"created": "\\ud800"}'),
        ("no JSON", b"\0\xff"),
    ):
        assert owner.push(content)[0] == 201
        manifest = {
            "schemaVersion": 2,
            "config": descriptor(digest_of(content)),
            "layers": [],
            "annotations": {"a": "\ud800"},
        }
        answer = owner.send("PUT", f"/v2/{IMAGE}/manifests/odd", json.dumps(manifest).encode())
        tally.expect(answer[0] < 500, f"{what}: {answer}")
        answer = owner.send("GET", f"/v2/{IMAGE}/manifests/odd")
        tally.expect(answer[0] < 500, f"{what}, read again: {answer}")


@attack("registry")
def giant_manifests(target: Target, tally: Tally, door: str) -> None:
    """As many parts as a manifest may have, none of which is there: nobody else waits for them."""
    owner = prepared(target)
    foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar"
    for number, parts in enumerate((MOST_PARTS, MOST_PARTS, MOST_PARTS + 1, 10_000, 15_000)):
        layers = [descriptor(f"sha256:{each:064x}", mediaType=foreign) for each in range(parts)]
        manifest = {"schemaVersion": 2, "config": descriptor(digest_of(CONFIG)), "layers": layers}
        body = json.dumps(manifest).encode()
        answer = owner.send("PUT", f"/v2/{IMAGE}/manifests/giant-{number}", body)
        wanted = 201 if parts <= MOST_PARTS else 400
        tally.expect(answer[0] == wanted, f"{parts} parts: {answer[0]} {answer[1][:200]!r}")


@attack("registry")
def forged_docker_credentials(target: Target, tally: Tally, door: str) -> None:
    """Names and passwords of docker that are no good."""
    key = {"type": "service_account", "client_email": "fogbank@demo.iam.gserviceaccount.com"}
    deep = "[" * 20_000
    pairs = (
        "", "a:b", "oauth2accesstoken:", "oauth2accesstoken:x.y.z", "_json_key:", f"_json_key:{deep}",
        "_json_key:[]", "_json_key:" + json.dumps(key), "_json_key:" + json.dumps(key | {"private_key": "x"}),
        "_json_key_base64:!!!!", "_json_key_base64:" + base64.b64encode(deep.encode()).decode()[:30_000],
        "\0:\0",
        *("_json_key:" + json.dumps(key | {"private_key": key_of(bits)}) for bits in (2048, *[3072] * 5)),
    )  # fmt: skip
    for header in (
        *map(basic, pairs),
        "Basic",
        "Basic !!!",
        "Bearer",
        "Bearer anonymous2",
        "Digest x",
        "Bearer \xff",
    ):
        client = Client(target, header)
        for path in ("/v2/token", "/v2/", f"/v2/{IMAGE}/tags/list"):
            answer = client.send("GET", path)
            tally.expect(answer[0] == 401, f"{header[:60]} {path}: {answer}")


@attack("registry")
def images_of_others(target: Target, tally: Tally, door: str) -> None:
    """An owner of another project reads, mounts, pushes and removes what is not theirs."""
    prepared(target)
    for client in (
        Client(target, f"Bearer {owner_elsewhere(target)}"),
        Client(target, ""),
        Client(target, "Bearer anonymous"),
    ):
        digest = digest_of(CONFIG)
        for method, path in (
            ("GET", f"/v2/{IMAGE}/blobs/{digest}"),
            ("HEAD", f"/v2/{IMAGE}/blobs/{digest}"),
            ("DELETE", f"/v2/{IMAGE}/blobs/{digest}"),
            ("GET", f"/v2/{IMAGE}/manifests/latest"),
            ("PUT", f"/v2/{IMAGE}/manifests/latest"),
            ("GET", f"/v2/{IMAGE}/tags/list"),
            ("POST", f"/v2/{IMAGE}/blobs/uploads/"),
            ("POST", f"/v2/stranger-project/own/image/blobs/uploads/?mount={digest}&from={IMAGE}"),
            ("GET", f"/v2/stranger-project/own/image/blobs/{digest}"),
        ):
            answer = client.send(method, path)
            tally.expect(answer[0] in {401, 403, 404, 202}, f"{method} {path}: {answer}")
            tally.expect(answer[1] != CONFIG and answer[0] != 201, f"{method} {path} gave the blob")
        status, text = client.send("GET", "/v2/_catalog")
        tally.expect(status == 401 or b"attacked" not in text, f"the catalogue: {text!r}")
