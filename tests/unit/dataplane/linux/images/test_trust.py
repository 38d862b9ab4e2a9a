"""Certificates that libraries of an image bring along."""

import pytest

from fogbank.dataplane.linux.images.trust import find_trust_files

PYTHON = "usr/lib/python3.12/site-packages"


@pytest.mark.parametrize(
    "path",
    [
        f"{PYTHON}/certifi/cacert.pem",
        f"{PYTHON}/pip/_vendor/certifi/cacert.pem",
        f"{PYTHON}/httplib2/cacerts.txt",
        f"{PYTHON}/grpc/_cython/_credentials/roots.pem",
    ],
)
def test_certificates_of_libraries_are_found(tmp_path, path):
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).touch()
    (tmp_path / "cacert.pem").touch()
    assert find_trust_files(tmp_path) == (f"/{path}",)


def test_links_are_not_followed(tmp_path):
    outside = tmp_path / "outside" / "certifi"
    outside.mkdir(parents=True)
    (outside / "cacert.pem").touch()
    root = tmp_path / "root"
    (root / "certifi").mkdir(parents=True)
    (root / "certifi" / "cacert.pem").symlink_to(outside / "cacert.pem")
    (root / "linked").symlink_to(outside.parent)
    assert find_trust_files(root) == ()
