"""The world's own folders for temporary files: empty, but for what the program needs below them."""

import os
from pathlib import Path

import pytest
from tests.private_world import Lab

from fogbank.dataplane.linux import kernel, private_folders
from fogbank.dataplane.linux.private_folders import cover

pytestmark = pytest.mark.netns


def test_what_is_kept_is_the_hosts_and_the_rest_is_covered(lab: Lab, tmp_path: Path, monkeypatch) -> None:
    covered = tmp_path / "covered"
    kept = covered / "deep/kept"
    (kept / "inside").mkdir(parents=True)
    (covered / "hosts").write_text("x")
    monkeypatch.setattr(private_folders, "COVERED", (covered, tmp_path / "missing"))
    cover((kept, kept / "inside", tmp_path / "nothing", Path("/usr")))
    assert [path.name for path in covered.iterdir()] == ["deep"]
    (kept / "new").write_text("x")
    (covered / "new").write_text("x")
    assert os.environ["TMPDIR"] == str(covered)
    kernel.unmount(str(covered))
    assert sorted(path.name for path in covered.iterdir()) == ["deep", "hosts"]
    assert (kept / "new").exists()


def test_the_worlds_devices_work_and_are_not_the_hosts(lab: Lab) -> None:
    assert "fogbank /dev tmpfs" in Path("/proc/mounts").read_text()
    Path("/dev/null").write_bytes(b"x")
    with Path("/dev/zero").open("rb") as zero, Path("/dev/urandom").open("rb") as random:
        assert zero.read(2) == bytes(2)
        assert len(random.read(8)) == 8
    assert Path("/dev/shm").stat().st_mode & 0o7777 == 0o1777
