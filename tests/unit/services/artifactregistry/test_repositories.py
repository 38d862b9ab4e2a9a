"""Repositories, and the packages, versions and tags in them, as the API shows and changes them."""

import pytest
from tests import worlds
from tests.cloud_calls import ME, NOW, PROJECT, Cloud
from tests.registry import image, layer

from fogbank.resources import artifactregistry as ar
from fogbank.resources.authorization import Policies
from fogbank.resources.images import parse_image
from fogbank.resources.manifests import parse_manifest
from fogbank.resources.policies import policy_of
from fogbank.resources.projects import project_number, service_agent
from fogbank.services.artifactregistry.pulls import Pull, find_image
from fogbank.services.artifactregistry.pushes import Received, pushed

API = "artifactregistry.v1.projects.locations.repositories"
PLACE = f"projects/{PROJECT}/locations/asia-northeast1"
PATH = f"{PLACE}/repositories/run-repo"
REPOSITORY = ar.repository_name(PROJECT, "asia-northeast1", "run-repo")
HOSTED = ar.HostedImage(REPOSITORY, "team/flask")
PACKAGE = f"{PATH}/packages/team%2Fflask"
URI = f"asia-northeast1-docker.pkg.dev/{PROJECT}/run-repo"


@pytest.fixture
def cloud():
    made = Cloud()
    made(f"{API}.create", {"format": "DOCKER"}, parent=PLACE, repositoryId="run-repo")
    return made


def push(cloud, made, tag="test"):
    manifest = parse_manifest(made.manifest, "")
    sizes = dict.fromkeys(manifest.blobs, 100)
    received = Received(made.digest, manifest, sizes, len(made.manifest), "2026-11-22T01:02:03Z")
    decision = pushed(cloud.world, HOSTED, received, tag, now=NOW, new_id=cloud.new_id)
    cloud.make(decision.changes)
    return made.digest


def test_a_repository_is_there_at_once(cloud):
    operation = cloud(f"{API}.create", {"format": "DOCKER"}, parent=PLACE, repositoryId="other")
    assert operation.status == "DONE"
    assert operation.response["@type"] == "type.googleapis.com/google.devtools.artifactregistry.v1.Repository"
    shown = cloud(f"{API}.get", name=f"{PLACE}/repositories/other")
    assert (shown["format"], shown["mode"], shown["sizeBytes"]) == ("DOCKER", "STANDARD_REPOSITORY", "0")
    assert shown["registryUri"] == f"asia-northeast1-docker.pkg.dev/{PROJECT}/other"
    assert [each["name"] for each in cloud(f"{API}.list", parent=PLACE)] == [
        f"{PLACE}/repositories/other",
        PATH,
    ]
    again = cloud.refused(f"{API}.create", {"format": "DOCKER"}, parent=PLACE, repositoryId="other")
    assert (again.code, again.message) == (409, "the repository already exists")


@pytest.mark.parametrize(
    ("body", "identifier", "place", "message"),
    [
        ({}, "x", PLACE, "The field 'format' of a repository is required."),
        ({"format": "NPM"}, "x", PLACE, "repositories of the format NPM"),
        ({"format": "DOCKER", "mode": "REMOTE_REPOSITORY"}, "x", PLACE, "mode REMOTE_REPOSITORY"),
        ({"format": "DOCKER", "cleanupPolicies": {"a": {}}}, "x", PLACE, "cleanup policies"),
        ({"format": "DOCKER"}, "Upper", PLACE, "Repository ID must follow the pattern"),
        ({"format": "DOCKER"}, "x\n", PLACE, "Repository ID must follow the pattern"),
        ({"format": "DOCKER"}, "a" * 64, PLACE, "Repository ID must follow the pattern"),
        ({"format": "DOCKER"}, "gcr.io", PLACE, "The repository gcr.io must be in the location us."),
        ({"format": "DOCKER"}, "x", f"projects/{PROJECT}/locations/mars", "Location mars is not found."),
    ],
)
def test_what_cannot_be_a_repository_is_refused(cloud, body, identifier, place, message):
    refused = cloud.refused(f"{API}.create", body, parent=place, repositoryId=identifier)
    assert message in refused.message


def test_multi_regions_and_the_old_hosts_have_repositories(cloud):
    us = f"projects/{PROJECT}/locations/us"
    cloud(f"{API}.create", {"format": "DOCKER"}, parent=us, repositoryId="gcr.io")
    assert cloud(f"{API}.get", name=f"{us}/repositories/gcr.io")["registryUri"].startswith("us-docker.")
    places = cloud("artifactregistry.v1.projects.locations.list", name=f"projects/{PROJECT}")
    assert {"us", "europe", "asia", "asia-northeast1"} <= {each["locationId"] for each in places}


def test_a_patch_changes_what_its_mask_names(cloud):
    changed = cloud(
        f"{API}.patch",
        {"description": "images", "dockerConfig": {"immutableTags": True}, "labels": {"a": "b"}},
        name=PATH,
        updateMask="description,docker_config",
    )
    assert (changed["description"], changed["dockerConfig"]) == ("images", {"immutableTags": True})
    assert "labels" not in changed
    refused = cloud.refused(f"{API}.patch", {"format": "NPM"}, name=PATH, updateMask="format")
    assert refused.code == 400


def test_a_mask_may_name_one_setting_of_a_message(cloud):
    """So does gcloud for --no-immutable-tags."""
    for immutable in (True, False):
        body = {"dockerConfig": {"immutableTags": immutable}, "description": "not asked for"}
        changed = cloud(f"{API}.patch", body, name=PATH, updateMask="dockerConfig.immutableTags")
        assert changed["dockerConfig"] == {"immutableTags": immutable}
        assert "description" not in changed
    changed = cloud(
        f"{API}.patch", {"dockerConfig": {}}, name=PATH, updateMask="docker_config.immutable_tags"
    )
    assert not changed.get("dockerConfig")
    assert cloud.refused(f"{API}.patch", {"mode": "x"}, name=PATH, updateMask="mode.x").code == 400


def test_an_image_is_shown_as_image_package_version_and_tag(cloud):
    digest = push(cloud, image(layer({"a": b"1"})))
    (shown,) = cloud(f"{API}.dockerImages.list", parent=PATH)
    assert shown["uri"] == f"{URI}/team/flask@{digest}"
    assert shown["name"] == f"{PATH}/dockerImages/team%2Fflask@{digest}"
    assert (shown["tags"], shown["buildTime"]) == (["test"], "2026-11-22T01:02:03Z")
    for name in (shown["name"], shown["name"].replace("%2F", "/")):
        assert cloud(f"{API}.dockerImages.get", name=name) == shown
    (package,) = cloud(f"{API}.packages.list", parent=PATH)
    assert package["name"] == PACKAGE
    (version,) = cloud(f"{API}.packages.versions.list", parent=PACKAGE, view="FULL")
    assert [tag["name"] for tag in version["relatedTags"]] == [f"{PACKAGE}/tags/test"]
    assert "relatedTags" not in cloud(f"{API}.packages.versions.get", name=version["name"])
    (tag,) = cloud(f"{API}.packages.tags.list", parent=PACKAGE.replace("%2F", "/"))
    assert tag == {"name": f"{PACKAGE}/tags/test", "version": version["name"]}
    total = int(cloud(f"{API}.get", name=PATH)["sizeBytes"])
    assert total == 200 + len(image(layer({"a": b"1"})).manifest)


def test_a_tag_names_a_version_of_its_own_package(cloud):
    first, second = push(cloud, image(layer({"a": b"1"}))), push(cloud, image(layer({"a": b"2"})), "two")
    tags = f"{API}.packages.tags"
    made = cloud(f"{tags}.create", {"version": f"{PACKAGE}/versions/{first}"}, parent=PACKAGE, tagId="stable")
    assert made["version"] == f"{PACKAGE}/versions/{first}"
    moved = cloud(f"{tags}.patch", {"version": f"{PACKAGE}/versions/{second}"}, name=f"{PACKAGE}/tags/stable")
    assert cloud(f"{tags}.get", name=f"{PACKAGE}/tags/stable") == moved
    for version in (f"{PATH}/packages/other/versions/{first}", f"{PACKAGE}/versions/sha256:{'0' * 64}"):
        refused = cloud.refused(f"{tags}.create", {"version": version}, parent=PACKAGE, tagId="x")
        assert refused.code in {400, 404}
    cloud(f"{tags}.delete", name=f"{PACKAGE}/tags/stable")
    assert cloud.refused(f"{tags}.get", name=f"{PACKAGE}/tags/stable").code == 404


def test_a_tagged_version_stays_unless_forced_and_the_last_takes_its_package_along(cloud):
    digest = push(cloud, image(layer({"a": b"1"})))
    versions = f"{API}.packages.versions"
    kept = cloud.refused(f"{versions}.delete", name=f"{PACKAGE}/versions/{digest}")
    assert (kept.code, "it is tagged" in kept.message) == (400, True)
    operation = cloud(f"{versions}.delete", name=f"{PACKAGE}/versions/{digest}", force=True)
    assert (operation.status, operation.response["@type"]) == (
        "DONE",
        "type.googleapis.com/google.protobuf.Empty",
    )
    assert cloud(f"{API}.packages.list", parent=PATH) == []
    assert list(cloud.world.all(ar.TAGS)) == []


def test_several_versions_go_together_or_not_at_all(cloud):
    digests = [push(cloud, image(layer({"a": text})), f"t{text.decode()}") for text in (b"1", b"2")]
    versions = f"{API}.packages.versions"
    names = [f"{PACKAGE}/versions/{each}" for each in digests]
    cloud.refused(f"{versions}.batchDelete", {"names": [*names, f"{PACKAGE}/versions/x"]}, parent=PACKAGE)
    cloud(f"{versions}.batchDelete", {"names": names, "validateOnly": True}, parent=PACKAGE)
    assert len(cloud(f"{versions}.list", parent=PACKAGE)) == 2
    cloud(f"{versions}.batchDelete", {"names": names}, parent=PACKAGE)
    assert cloud(f"{API}.packages.list", parent=PATH) == []


def test_a_repository_goes_with_all_that_is_in_it(cloud):
    push(cloud, image(layer({"a": b"1"})))
    cloud(f"{API}.setIamPolicy", {"policy": {"bindings": []}}, resource=PATH)
    assert cloud(f"{API}.delete", name=PATH).status == "DONE"
    left = [each.name for kind in (ar.REPOSITORIES, ar.PACKAGES, ar.VERSIONS, ar.TAGS, ar.POLICIES)
            for each in cloud.world.all(kind)]  # fmt: skip
    assert left == []


def test_cloud_runs_agent_reads_its_own_project_and_what_it_was_given(cloud):
    digest = push(cloud, image(layer({"a": b"1"})))
    access = Policies("", lambda: NOW)
    reference = parse_image(f"{URI}/team/flask:test")
    own = service_agent(project_number(cloud.world, PROJECT))
    foreign = service_agent("1")
    assert find_image(cloud.world, access, parse_image(f"{URI}/team/flask:test"), ME) == Pull(digest)
    assert find_image(cloud.world, access, reference, foreign) == Pull(None, allowed=False)
    cloud.bind(PROJECT, "roles/run.serviceAgent", f"serviceAccount:{own}")
    assert find_image(cloud.world, access, reference, own) == Pull(digest)
    assert find_image(cloud.world, access, parse_image(f"{URI}/team/flask:none"), own) == Pull(None)
    assert find_image(cloud.world, access, parse_image(f"{URI}-2/team/flask:none"), own) is None
    policy = policy_of({"roles/artifactregistry.reader": [f"serviceAccount:{foreign}"]}, 1)
    cloud.make([ar_put(policy)])
    assert find_image(cloud.world, access, reference, foreign) == Pull(digest)


def ar_put(policy):
    from fogbank.resources.world import Put

    return Put(worlds.resource(ar.policy_name(REPOSITORY), policy))


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        ("us-docker.pkg.dev", "p/r/i", ("projects/p/locations/us/repositories/r", "i")),
        ("us-docker.pkg.dev", "p/r/a/b/c", ("projects/p/locations/us/repositories/r", "a/b/c")),
        (
            "us-docker.pkg.dev",
            "example.com/p/r/i",
            ("projects/example.com:p/locations/us/repositories/r", "i"),
        ),
        ("eu.gcr.io", "p/a/b", ("projects/p/locations/europe/repositories/eu.gcr.io", "a/b")),
        ("gcr.io", "p", None),
        ("us-docker.pkg.dev", "p/r", None),
        ("mars-docker.pkg.dev", "p/r/i", None),
        ("docker.io", "library/redis", None),
    ],
)
def test_a_name_says_where_an_image_is(host, path, expected):
    found = ar.read_place(host, path)
    assert (found and (found.repository.path, found.image)) == expected
