"""The registry of Docker images: pushed, pulled, listed and deleted, by whoever may."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.identities import ROBOT
from tests.registry import HOST, NAME, REPOSITORY, digest_of, image, layer, part, serve_in
from tests.worlds import NOW

from fogbank.frontend.iam.accounts import Account, key_document
from fogbank.frontend.registry.errors import RegistryError
from fogbank.frontend.registry.uploads import MOST_SESSIONS, PIECE, Uploads
from fogbank.resources import artifactregistry as ar
from fogbank.resources.manifests import LONGEST, OCI_INDEX
from fogbank.services.artifactregistry.repositories import new_repository
from fogbank.store.blobs import BlobStore

UPLOADS = f"/v2/{NAME}/blobs/uploads/"
MANIFESTS = f"/v2/{NAME}/manifests"
READER = "reader@example.com"


@pytest.fixture
async def server(tmp_path):
    made = await serve_in(tmp_path)
    yield made
    made.application.close()
    await made.store.close()


def basic(name, password):
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def bearer(server, email):
    return f"Bearer {server.identities.identity.access_token(email)}"


async def test_what_was_pushed_is_pulled_byte_for_byte(server):
    made = image(layer({"a": b"1" * 5000}), layer({"b": b"2"}))
    pushed = await server.push(made, tag="v1")
    assert (pushed.status, pushed.headers["docker-content-digest"]) == (201, made.digest)
    for reference in ("v1", made.digest):
        pulled = await server.ask("GET", f"{MANIFESTS}/{reference}")
        assert (pulled.body, pulled.headers["content-type"]) == (made.manifest, made.media_type)
        head = await server.ask("HEAD", f"{MANIFESTS}/{reference}")
        assert (head.body, head.headers["content-length"]) == (b"", str(len(made.manifest)))
    for blob in made.blobs:
        assert (await server.ask("GET", f"/v2/{NAME}/blobs/{digest_of(blob)}")).body == blob
    names, uploads = server.files()
    assert names == {digest_of(each)[7:] for each in (*made.blobs, made.manifest)}
    assert uploads == []


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=5000), max_size=8), st.integers(0, 3))
async def test_however_a_body_is_cut_the_blob_is_the_same(tmp_path_factory, pieces, large):
    server = await serve_in(tmp_path_factory.mktemp("registry"))
    pieces = [*pieces, b"x" * (large * PIECE // 2)]
    content = b"".join(pieces)
    where = (await server.ask("POST", UPLOADS)).headers["location"]
    messages = [{"type": "http.request", "body": each, "more_body": True} for each in pieces]
    messages.append({"type": "http.request", "body": b""})
    patched = await server.ask("PATCH", where, pieces=messages)
    assert patched.headers["range"] == f"0-{max(len(content) - 1, 0)}"
    assert (await server.ask("PUT", f"{where}?digest={digest_of(content)}")).status == 201
    assert (await server.ask("GET", f"/v2/{NAME}/blobs/{digest_of(content)}")).body == content
    server.application.close()
    await server.store.close()


async def test_a_client_that_goes_away_in_the_middle_leaves_nothing(server):
    where = (await server.ask("POST", UPLOADS)).headers["location"]
    pieces = [{"type": "http.request", "body": b"x" * 3 * PIECE, "more_body": True}]
    assert await server.ask("PATCH", where, pieces=pieces) is None
    assert server.files() == (set(), [])
    assert (await server.ask("GET", where)).error[1] == "BLOB_UPLOAD_UNKNOWN"


async def test_content_that_is_not_what_its_digest_says_is_refused_and_removed(server):
    where = (await server.ask("POST", UPLOADS)).headers["location"]
    refused = await server.ask("PUT", f"{where}?digest={digest_of(b'other')}", b"content")
    assert refused.error[:2] == (400, "DIGEST_INVALID")
    assert server.files() == (set(), [])


async def test_a_part_out_of_order_is_refused_and_the_upload_goes_on(server):
    where = (await server.ask("POST", UPLOADS)).headers["location"]
    await server.ask("PATCH", where, b"0123", headers={"content-range": "0-3"})
    refused = await server.ask("PATCH", where, b"89", headers={"content-range": "8-9"})
    assert (refused.status, refused.headers["range"]) == (416, "0-3")
    await server.ask("PATCH", where, b"45", headers={"content-range": "4-5"})
    assert (await server.ask("PUT", f"{where}?digest={digest_of(b'012345')}")).status == 201


async def test_uploads_do_not_pile_up(server):
    first = (await server.ask("POST", UPLOADS)).headers["location"]
    for _ in range(MOST_SESSIONS):
        await server.ask("POST", UPLOADS)
    assert (await server.ask("GET", first)).status == 404
    assert len(server.files()[1]) == MOST_SESSIONS


@pytest.mark.parametrize(
    ("bounds", "status"), [({"largest": 5}, 413), ({"spare": 2**62}, 507), ({"largest": 6}, None)]
)
async def test_an_upload_has_a_limit_and_leaves_room_on_the_disk(tmp_path, bounds, status):
    blobs = BlobStore(tmp_path / "bounded")
    uploads = Uploads(blobs, lambda: 0.0, **bounds)
    session = uploads.begin("repository")
    session.upload.append(b"abc")
    messages = [
        {"type": "http.request", "body": b"de", "more_body": True},
        {"type": "http.request", "body": b"f"},
    ]

    async def receive():
        return messages.pop(0)

    if status is None:
        await uploads.fill(session, receive)
        assert session.upload.size == 6
        uploads.close()
    else:
        with pytest.raises(RegistryError) as refused:
            await uploads.fill(session, receive)
        assert refused.value.status == status
    assert list((tmp_path / "bounded" / "uploads").iterdir()) == []
    assert len(uploads) == 0


async def test_a_manifest_needs_its_parts_in_its_own_repository(server):
    made = image(layer({"a": b"1"}))
    await server.put(new_repository(ar.repository_name("demo", "asia-northeast1", "other"), NOW, lambda: 5))
    await server.push(made, "demo/other/flask")
    kind = {"content-type": made.media_type}
    refused = await server.ask("PUT", f"{MANIFESTS}/latest", made.manifest, headers=kind)
    assert refused.error[:2] == (400, "MANIFEST_BLOB_UNKNOWN")
    assert (await server.ask("HEAD", f"/v2/{NAME}/blobs/{digest_of(made.config)}")).status == 404


async def test_a_blob_is_mounted_from_a_repository_that_the_caller_may_read(server):
    other = ar.repository_name("demo", "asia-northeast1", "other")
    await server.put(new_repository(other, NOW, lambda: 5))
    await server.push(image(layer({"a": b"1"})), "demo/other/flask")
    digest = digest_of(layer({"a": b"1"}))
    await server.bind(REPOSITORY, artifactregistry_writer=[f"user:{READER}"])
    query = f"?mount={digest}&from=demo/other/flask"
    stranger = await server.ask("POST", f"{UPLOADS}{query}", authorization=bearer(server, READER))
    assert stranger.status == 202  # it is asked to upload it
    await server.bind(other, artifactregistry_reader=[f"user:{READER}"])
    mounted = await server.ask("POST", f"{UPLOADS}{query}", authorization=bearer(server, READER))
    assert (mounted.status, mounted.headers["docker-content-digest"]) == (201, digest)
    assert (await server.ask("GET", f"/v2/{NAME}/blobs/{digest}")).body == layer({"a": b"1"})


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{", ""),
        (b"[]", ""),
        (b'{"schemaVersion": 1}', ""),
        (b'{"schemaVersion": 2, "mediaType": "text/plain"}', ""),
        (b'{"schemaVersion": 2}', "application/vnd.oci.image.manifest.v1+json"),
        (image().manifest, OCI_INDEX),
        (image(config={"digest": "sha256:1", "size": 1}).manifest, ""),
        (image(layers=[{"digest": digest_of(b""), "size": -1}]).manifest, ""),
    ],
)
async def test_what_is_no_manifest_is_refused(server, content, kind):
    refused = await server.ask("PUT", f"{MANIFESTS}/x", content, headers={"content-type": kind})
    assert refused.error[:2] == (400, "MANIFEST_INVALID")


async def test_a_manifest_has_a_limit(server):
    refused = await server.ask("PUT", f"{MANIFESTS}/x", b" " * (LONGEST + 1))
    assert refused.error[:2] == (413, "SIZE_INVALID")


async def test_an_index_keeps_what_it_names(server):
    made = image(layer({"a": b"1"}))
    described = part(made.manifest, made.media_type) | {"platform": {"os": "linux", "architecture": "amd64"}}
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [described]}).encode()
    kind = {"content-type": OCI_INDEX}
    early = await server.ask("PUT", f"{MANIFESTS}/multi", index, headers=kind)
    assert early.error[:2] == (400, "MANIFEST_BLOB_UNKNOWN")
    await server.push(made, tag=made.digest)
    assert (await server.ask("PUT", f"{MANIFESTS}/multi", index, headers=kind)).status == 201
    kept = await server.ask("DELETE", f"{MANIFESTS}/{made.digest}")
    assert kept.error[:2] == (400, "DENIED")
    assert kept.error[2] == ("cannot delete the version because manifest is referenced by parent manifests")
    assert (await server.ask("DELETE", f"{MANIFESTS}/{digest_of(index)}")).status == 202
    assert (await server.ask("DELETE", f"{MANIFESTS}/{made.digest}")).status == 202
    assert (await server.ask("GET", f"/v2/{NAME}/tags/list")).status == 404


async def test_tags_come_page_by_page(server):
    made = image(layer({"a": b"1"}))
    for tag in ("c", "a", "b"):
        await server.push(made, tag=tag)
    first = await server.ask("GET", f"/v2/{NAME}/tags/list?n=2")
    assert first.json == {"name": NAME, "tags": ["a", "b"]}
    assert first.headers["link"] == f'</v2/{NAME}/tags/list?n=2&last=b>; rel="next"'
    second = await server.ask("GET", f"/v2/{NAME}/tags/list?n=2&last=b")
    assert (second.json["tags"], "link" in second.headers) == (["c"], False)
    assert (await server.ask("GET", "/v2/_catalog")).json == {"repositories": [NAME]}


async def test_what_is_about_an_image_is_listed_with_it(server):
    made = image(layer({"a": b"1"}))
    await server.push(made)
    signature = image(layer({"s": b"1"}), subject=part(made.manifest, made.media_type), artifactType="sig")
    pushed = await server.push(signature, tag=signature.digest)
    assert pushed.headers["oci-subject"] == made.digest
    listed = await server.ask("GET", f"/v2/{NAME}/referrers/{made.digest}?artifactType=sig")
    (found,) = listed.json["manifests"]
    assert (found["digest"], found["artifactType"]) == (signature.digest, "sig")
    assert listed.headers["oci-filters-applied"] == "artifactType"
    other = await server.ask("GET", f"/v2/{NAME}/referrers/{made.digest}?artifactType=x")
    assert other.json["manifests"] == []


async def test_a_tag_moves_unless_tags_are_immutable(server):
    first, second = image(layer({"a": b"1"})), image(layer({"a": b"2"}))
    await server.push(first)
    await server.push(second)
    assert (await server.ask("GET", f"{MANIFESTS}/latest")).body == second.manifest
    fixed = server.store.world.get(REPOSITORY).with_body(dockerConfig={"immutableTags": True})
    await server.put(fixed)
    refused = await server.push(first)
    assert refused.error[:2] == (400, "MANIFEST_INVALID")
    assert refused.error[2] == ("cannot update tag latest. The repository has enabled tag immutability")
    assert (await server.push(second)).status == 201  # it stays where it is
    assert (await server.push(first, tag="new")).status == 201
    assert (await server.ask("DELETE", f"{MANIFESTS}/new")).status == 400


async def test_a_blob_of_an_image_is_not_deleted(server):
    made = image(layer({"a": b"1"}))
    await server.push(made)
    blob = f"/v2/{NAME}/blobs/{digest_of(made.config)}"
    assert (await server.ask("DELETE", blob)).status == 405
    await server.ask("DELETE", f"{MANIFESTS}/{made.digest}")
    assert (await server.ask("DELETE", blob)).status == 202
    assert (await server.ask("DELETE", blob)).status == 404


async def test_a_part_of_a_blob_is_read(server):
    content = b"0123456789"
    where = (await server.ask("POST", f"{UPLOADS}?digest={digest_of(content)}", content)).headers["location"]
    some = await server.ask("GET", where, headers={"range": "bytes=2-4"})
    assert (some.status, some.body, some.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    rest = await server.ask("GET", where, headers={"range": "bytes=7-"})
    assert rest.body == b"789"
    assert (await server.ask("GET", where, headers={"range": "bytes=10-"})).status == 416


async def test_strangers_are_asked_who_they_are(server):
    ping = await server.ask("GET", "/v2/", authorization=None)
    realm = f'Bearer realm="https://{HOST}/v2/token",service="{HOST}"'
    assert (ping.status, ping.headers["www-authenticate"]) == (401, realm)
    pull = await server.ask("GET", f"{MANIFESTS}/latest", authorization=None)
    assert pull.headers["www-authenticate"] == f'{realm},scope="repository:{NAME}:pull"'
    push = await server.ask("POST", UPLOADS, authorization=None)
    assert push.headers["www-authenticate"] == f'{realm},scope="repository:{NAME}:pull,push"'
    assert (await server.ask("GET", "/v2/", authorization="Bearer nonsense")).status == 401


async def test_who_may_not_push_hears_googles_words_whether_the_repository_exists_or_not(server):
    for name in ("run-repo", "none"):
        where = f"projects/demo/locations/asia-northeast1/repositories/{name}"
        refused = await server.ask(
            "POST", f"/v2/demo/{name}/flask/blobs/uploads/", authorization=bearer(server, READER)
        )
        text = (
            f'Permission "artifactregistry.repositories.uploadArtifacts" denied on resource "{where}" '
            "(or it may not exist)"
        )
        assert refused.error == (403, "DENIED", text)
    owner = await server.ask("POST", "/v2/demo/none/flask/blobs/uploads/")
    assert owner.error == (404, "NAME_UNKNOWN", 'Repository "none" not found')


async def test_a_reader_pulls_and_does_not_push(server):
    await server.push(image(layer({"a": b"1"})))
    await server.bind(REPOSITORY, artifactregistry_reader=[f"user:{READER}"])
    reader = bearer(server, READER)
    assert (await server.ask("GET", f"{MANIFESTS}/latest", authorization=reader)).status == 200
    assert (await server.ask("POST", UPLOADS, authorization=reader)).status == 403
    assert (await server.ask("DELETE", f"{MANIFESTS}/latest", authorization=reader)).status == 403


async def test_everybody_reads_what_everybody_may(server):
    await server.push(image(layer({"a": b"1"})))
    token = (await server.ask("GET", "/v2/token?service=x", authorization=None)).json["token"]
    nobody = f"Bearer {token}"
    refused = await server.ask("GET", f"{MANIFESTS}/latest", authorization=nobody)
    assert refused.error[2].startswith("Unauthenticated request. Unauthenticated requests do not have")
    await server.bind(REPOSITORY, artifactregistry_reader=["allUsers"])
    for authorization in (nobody, None):
        assert (await server.ask("GET", f"{MANIFESTS}/latest", authorization=authorization)).status == 200


@pytest.mark.parametrize("user", ["oauth2accesstoken", "_dcgcloud_token"])
async def test_an_access_token_is_a_password(server, user):
    token = server.identities.bearer.removeprefix("Bearer ")
    given = await server.ask("GET", "/v2/token?service=x", authorization=basic(user, token))
    assert (await server.ask("GET", "/v2/", authorization=f"Bearer {given.json['token']}")).status == 200
    assert (await server.ask("GET", "/v2/_catalog", authorization=basic(user, token))).status == 200
    wrong = await server.ask("GET", "/v2/token", authorization=basic(user, "ya29.wrong"))
    assert wrong.error[:2] == (401, "UNAUTHORIZED")


async def test_the_key_of_a_service_account_is_a_password(server):
    await server.put(server.identities.add_account())
    pair = server.identities.add_key()
    await server.put(*server.identities.world.all("iam.keys"))
    account = Account(ROBOT, "1", "demo")
    key = json.dumps(key_document(pair, account))
    encoded = base64.b64encode(key.encode()).decode()
    for user, password in (("_json_key", key), ("_json_key_base64", encoded)):
        given = await server.ask("GET", "/v2/token", authorization=basic(user, password))
        token = given.json["token"]
        assert server.identities.identity.authenticate(f"Bearer {token}") == ROBOT
    from fogbank.frontend.iam import jwt

    foreign = json.dumps(key_document(jwt.new_key_pair(), account))
    assert (await server.ask("GET", "/v2/token", authorization=basic("_json_key", foreign))).status == 401
    assert (await server.ask("GET", "/v2/token", authorization=basic("_json_key", "{"))).status == 401
    assert (await server.ask("GET", "/v2/token", authorization=basic("me", "secret"))).status == 401


async def test_a_push_to_gcr_makes_the_repository_for_who_may(server):
    made = image(layer({"a": b"1"}))
    await server.bind(ar.repository_name("demo", "us", "gcr.io"), artifactregistry_writer=[f"user:{READER}"])
    refused = await server.ask(
        "POST", "/v2/demo/flask/blobs/uploads/", host="gcr.io", authorization=bearer(server, READER)
    )
    assert refused.error[:2] == (403, "DENIED")
    assert refused.error[2] == (
        "gcr.io repo does not exist. Creating on push requires the "
        "artifactregistry.repositories.createOnPush permission"
    )
    assert (await server.push(made, "demo/flask", host="gcr.io")).status == 201
    assert server.store.world.find(ar.repository_name("demo", "us", "gcr.io")) is not None
    same = await server.ask("GET", "/v2/demo/gcr.io/flask/manifests/latest", host="us-docker.pkg.dev")
    assert same.body == made.manifest


@pytest.mark.parametrize(
    "path",
    ["/v2/demo/run-repo/manifests/x", "/v2/demo/run-repo/UPPER/manifests/x", "/v2/../x/y/z/manifests/x"],
)
async def test_what_names_no_image_is_refused(server, path):
    assert (await server.ask("GET", path)).error[:2] == (404, "NAME_UNKNOWN")


async def test_other_formats_and_other_methods_are_refused_by_name(server):
    other = await server.ask("GET", "/v2/", host="asia-northeast1-npm.pkg.dev")
    assert "asia-northeast1-npm.pkg.dev" in other.error[2]
    method = await server.ask("POST", f"{MANIFESTS}/latest")
    assert (method.error[1], method.headers["allow"]) == ("UNSUPPORTED", "DELETE, GET, HEAD, PUT")
    assert (await server.ask("GET", "/somewhere")).status == 404
