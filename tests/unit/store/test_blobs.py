"""Blobs: files under their hashes, whole or not at all, and gone when nobody needs them."""

import hashlib

import pytest

from fogbank.store.blobs import BadDigestError, BlobStore

ONE = "projects/demo/locations/us/repositories/one"
TWO = "projects/demo/locations/us/repositories/two"


def digest_of(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def clock():
    return [1000.0]


@pytest.fixture
def blobs(tmp_path, clock):
    return BlobStore(tmp_path, lambda: clock[0])


def names(folder):
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_a_blob_is_one_file_however_many_repositories_have_it(blobs, tmp_path):
    digest = blobs.put(b"content", ONE, "a")
    assert blobs.put(b"content", TWO, "b") == digest
    path = blobs.path(digest)
    assert path.read_bytes() == b"content"
    assert path.stat().st_nlink == 3
    assert list((tmp_path / "uploads").iterdir()) == []


def test_a_repository_has_only_what_was_put_into_it(blobs):
    digest = blobs.put(b"content", ONE, "a")
    assert blobs.find(digest, TWO) is None
    blobs.link(digest, TWO)
    assert blobs.unlink(digest, ONE)
    assert not blobs.unlink(digest, ONE)
    assert blobs.find(digest, TWO).read_bytes() == b"content"


def test_what_does_not_hash_to_its_digest_is_removed(blobs, tmp_path):
    upload = blobs.begin("a")
    upload.append(b"content")
    with pytest.raises(BadDigestError, match="hashes to"):
        blobs.finish(upload, digest_of(b"other"), ONE)
    assert names(tmp_path) == set()


def test_an_upload_that_a_dead_region_left_is_removed(blobs, tmp_path):
    upload = blobs.begin("a")
    upload.append(b"half")
    again = BlobStore(tmp_path)
    again.sweep_uploads()
    assert names(tmp_path) == set()
    upload.discard()


def test_what_nobody_needs_goes_after_a_while(blobs, clock, tmp_path):
    needed, unneeded = blobs.put(b"needed", ONE, "a"), blobs.put(b"unneeded", ONE, "b")
    loaded, shared = blobs.put(b"loaded", TWO, "c"), blobs.put(b"shared", ONE, "d")
    blobs.link(shared, TWO)

    def repositories(name):
        return {needed} if name == ONE else None

    def there(digest):
        return blobs.path(digest).exists()

    clock[0] += 50
    assert blobs.collect({loaded}, repositories, 100) == 0
    assert not (tmp_path / "repositories" / "demo" / "us" / "two").exists()  # the repository is gone
    assert all(map(there, (needed, unneeded, loaded, shared)))
    clock[0] += 60
    assert blobs.find(shared, ONE)  # somebody asks for it: a push may be under way
    assert blobs.collect({loaded}, repositories, 100) == 1
    assert [there(each) for each in (needed, unneeded, loaded, shared)] == [True, False, True, True]
    clock[0] += 1000
    assert blobs.collect((), repositories, 100) == 2
    assert there(needed)


@pytest.mark.parametrize("digest", ["sha256:../../etc", "sha512:00", "", "sha256:" + "A" * 64])
def test_what_is_no_digest_names_no_file(blobs, digest):
    with pytest.raises(BadDigestError):
        blobs.path(digest)
    assert blobs.find(digest, ONE) is None


@pytest.mark.parametrize("name", ["projects/../locations/a/repositories/b", "projects/a", ""])
def test_what_is_no_repository_names_no_folder(blobs, name):
    digest = blobs.put(b"content", ONE, "a")
    with pytest.raises(ValueError, match="not the path of a repository"):
        blobs.link(digest, name)
    assert blobs.path(digest).exists()
