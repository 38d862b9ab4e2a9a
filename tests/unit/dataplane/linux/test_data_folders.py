"""What servers keep on the disk."""

import os
from pathlib import Path

import pytest

from fogbank.dataplane.linux.data_folders import DataFolders
from fogbank.errors import DriverError


def test_a_folder_is_made_once_and_is_for_its_owner_alone(tmp_path):
    folders = DataFolders(tmp_path / "data")
    assert folders.names() == frozenset()
    folder = folders.open("redis-a", os.getuid())
    (folder / "dump").write_text("kept")
    assert folders.open("redis-a", os.getuid()) == folder
    assert (folder / "dump").read_text() == "kept"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folders.names() == {"redis-a"}


@pytest.mark.parametrize("name", ["..", "", "a/b", ".hidden"])
def test_no_name_leads_out_of_the_folder(tmp_path, name):
    with pytest.raises(DriverError, match="cannot name a data folder"):
        DataFolders(tmp_path / "data").remove(name)


def test_a_link_that_the_container_puts_in_the_way_is_not_followed(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    folders = DataFolders(tmp_path / "data")
    link = folders.open("a", os.getuid()) / ".file.new"
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: link.symlink_to(elsewhere))
    with pytest.raises(DriverError, match="cannot be written"):
        folders.write("a", "file", b"x")
    assert not elsewhere.exists()


def test_files_can_be_there_before_the_container_that_owns_them(tmp_path):
    folders = DataFolders(tmp_path / "data")
    folders.prepare("edge", {"lds.json": b"{}"})
    folder = folders.open("edge", os.getuid())
    assert (folder / "lds.json").read_bytes() == b"{}"
    assert (folder / "lds.json").stat().st_uid == os.getuid()
