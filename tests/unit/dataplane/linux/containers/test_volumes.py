"""Volumes of containers: nothing of one stays when the machine refuses half-way."""

import errno
from pathlib import Path

import pytest

from fogbank.dataplane.linux import kernel
from fogbank.dataplane.linux.containers.volumes import MemoryVolumes
from fogbank.network.topology import NetnsName, Volume

VOLUME = Volume("web-1-cache", NetnsName("instance/web-1"), size_bytes=1 << 20)


class Refusing(MemoryVolumes):
    """Volumes whose owner cannot be changed."""

    def _hand_over(self, path: Path, mode: int) -> None:
        raise OSError(errno.EPERM, f"{path} stays as it is, and not {mode:o}")


@pytest.fixture
def mounted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List what is mounted, in place of the machine's mounts."""
    mounts: list[str] = []
    monkeypatch.setattr(kernel, "mount", lambda _source, target, *_rest: mounts.append(target))
    monkeypatch.setattr(kernel, "unmount", mounts.remove)
    return mounts


def test_a_volume_that_cannot_be_handed_over_is_not_left_mounted(tmp_path: Path, mounted: list[str]) -> None:
    volumes = Refusing(tmp_path / "volumes", 0)
    with pytest.raises(OSError, match="stays as it is"):
        volumes.put(VOLUME)
    assert mounted == []
    assert list((tmp_path / "volumes").iterdir()) == []
    assert volumes.all() == {}


def test_a_volume_that_cannot_be_mounted_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "no more mounts")

    monkeypatch.setattr(kernel, "mount", refuse)
    with pytest.raises(OSError, match="no more mounts"):
        MemoryVolumes(tmp_path / "volumes", 0).put(VOLUME)
    assert list((tmp_path / "volumes").iterdir()) == []
