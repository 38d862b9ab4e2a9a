"""gcloud secrets, with the real gcloud: what people do with secrets and their versions."""

import hashlib
from pathlib import Path

import pytest
from tests.loaded_gcloud import LoadedGcloud, LoadedRegion

from fogbank.testing import RunningRegion

pytestmark = [pytest.mark.slow(10), pytest.mark.netns]


@pytest.fixture
def region(region: RunningRegion, gcloud: LoadedGcloud) -> LoadedRegion:
    return LoadedRegion(region.name, region.home, region.environment, gcloud)


def test_the_life_of_a_secret(region: LoadedRegion, tmp_path: Path) -> None:
    secrets, versions = ("secrets",), ("secrets", "versions")
    data = tmp_path / "data"
    data.write_bytes(b"one\x00\xff")
    region.gcloud(*secrets, "create", "fam-token", f"--data-file={data}", "--labels=team=a")
    data.write_text("two")
    region.gcloud(*versions, "add", "fam-token", f"--data-file={data}")
    read = region.gcloud(*versions, "access", "latest", "--secret=fam-token").stdout
    assert read == "two"
    out = tmp_path / "out"
    region.gcloud(*versions, "access", "1", "--secret=fam-token", f"--out-file={out}")
    assert hashlib.sha256(out.read_bytes()).digest() == hashlib.sha256(b"one\x00\xff").digest()
    listed = region.gcloud_json(*versions, "list", "fam-token")
    assert [each["name"].rpartition("/")[2] for each in listed] == ["2", "1"]
    region.gcloud(*secrets, "update", "fam-token", "--update-version-aliases=old=1", "--update-labels=b=c")
    described = region.gcloud_json(*secrets, "describe", "fam-token")
    assert (described["versionAliases"], described["labels"]) == ({"old": "1"}, {"team": "a", "b": "c"})
    region.gcloud(*versions, "disable", "2", "--secret=fam-token")
    refused = region.gcloud(*versions, "access", "latest", "--secret=fam-token", check=False)
    assert "is in DISABLED state." in refused.stderr
    region.gcloud(*versions, "enable", "2", "--secret=fam-token")
    region.gcloud(*versions, "destroy", "1", "--secret=fam-token", "--quiet")
    gone = region.gcloud_json(*versions, "describe", "1", "--secret=fam-token")
    assert gone["state"] == "DESTROYED"
    region.gcloud(
        *secrets, "add-iam-policy-binding", "fam-token", "--member=allAuthenticatedUsers",
        "--role=roles/secretmanager.secretAccessor",
    )  # fmt: skip
    policy = region.gcloud_json(*secrets, "get-iam-policy", "fam-token")
    assert policy["bindings"][0]["role"] == "roles/secretmanager.secretAccessor"
    assert "fam-token" in region.gcloud(*secrets, "list", "--format=value(name)").stdout
    region.gcloud(*secrets, "delete", "fam-token", "--quiet")
    missing = region.gcloud(*secrets, "describe", "fam-token", check=False)
    assert "not found." in missing.stderr


def test_a_secret_of_one_location_is_refused_by_name(region: LoadedRegion) -> None:
    command = ("secrets", "create", "fam-here", "--location=asia-northeast3")
    refused = region.gcloud(*command, check=False)
    assert "secretmanager.v1.projects.locations.secrets.create" in refused.stderr
