"""Images made of Debian packages, with the machine's own apt and a registry in a folder."""

import hashlib
import subprocess
import tarfile
import threading

import pytest

from fogbank.dataplane.linux.images.apt import AptFailed
from fogbank.dataplane.linux.images.debian_roots import DebianRoots, NotFetched, merged
from fogbank.dataplane.linux.images.store import ImageStore
from fogbank.dataplane.linux.images.unpacked import UnpackedImages
from fogbank.resources.server_images import ServerImage

SERVER = ServerImage("toy", ("toy-server",), users=(("toy", 77),), links=(("/usr/bin/sh", "toy"),))


class Registry:
    """A flat registry of packages in a folder, and an apt configuration that knows nothing else."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "packages").mkdir()
        (folder / "sources.list").write_text(f"deb [trusted=yes] file:{folder}/packages ./\n")
        (folder / "apt.conf").write_text(
            f'Dir::Etc::sourcelist "{folder}/sources.list";\nDir::Etc::sourceparts "/dev/null";\n'
        )
        self.publish()

    def add(self, name, files, depends="", scripts=None):
        made = self.folder / "made" / name
        for path, content in files.items():
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            (made / path).write_text(content)
        control = made / "DEBIAN"
        control.mkdir(parents=True)
        (control / "control").write_text(
            f"Package: {name}\nVersion: 2:1.0-3\nArchitecture: all\nMaintainer: nobody <n@example.com>\n"
            f"Description: of a test\n{f'Depends: {depends}' + chr(10) if depends else ''}"
        )
        for script, text in (scripts or {}).items():
            (control / script).write_text(text)
            (control / script).chmod(0o755)
        archive = self.folder / "packages" / f"{name}_1.0-3_all.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-b", made, archive], check=True, capture_output=True
        )
        self.publish()

    def publish(self):
        entries = []
        for archive in (self.folder / "packages").glob("*.deb"):
            control = subprocess.run(
                ["dpkg-deb", "-f", archive], check=True, capture_output=True, text=True
            ).stdout
            digest = hashlib.sha256(archive.read_bytes()).hexdigest()
            size = archive.stat().st_size
            entries.append(f"{control}Filename: ./{archive.name}\nSize: {size}\nSHA256: {digest}\n")
        (self.folder / "packages" / "Packages").write_text("\n".join(entries))


@pytest.fixture
def registry(tmp_path, monkeypatch):
    (tmp_path / "registry").mkdir()
    made = Registry(tmp_path / "registry")
    monkeypatch.setenv("APT_CONFIG", str(made.folder / "apt.conf"))
    return made


@pytest.fixture
def published(registry, tmp_path):
    left_mark = f"#!/bin/sh\ntouch {tmp_path}/a-script-ran\n"
    registry.add("toy-library", {"lib/libtoy.so": "library", "usr/share/doc/toy/changes": "long"})
    registry.add(
        "toy-server",
        {"bin/toy": "program", "usr/bin/more": "program", "usr/share/doc/toy-server/copyright": "free"},
        depends="toy-library, adduser",
        scripts={"preinst": left_mark, "postinst": left_mark},
    )
    registry.add("adduser", {"usr/sbin/adduser": "not wanted"})
    return registry


@pytest.fixture
def told():
    return []


def test_a_server_and_what_it_needs_become_an_image_without_running_a_script(published, tmp_path, told):
    roots = DebianRoots(tmp_path / "cache")
    made = roots.fetch(SERVER, told.append)
    assert made.versions == {"toy-server": "2:1.0-3", "toy-library": "2:1.0-3"}
    assert made.version("toy-server") == "1.0"
    assert not (tmp_path / "a-script-ran").exists()
    store = ImageStore(tmp_path / "store")
    root = UnpackedImages(store, tmp_path / "roots").get(roots.adopt(SERVER, store)).root
    assert (root / "usr/bin/toy").read_text() == (root / "usr/bin/sh").read_text() == "program"
    assert (root / "lib/libtoy.so").read_text() == "library"
    assert (root / "bin").is_symlink()
    assert not (root / "usr/sbin/adduser").exists()
    assert not (root / "usr/share/doc/toy/changes").exists()
    assert (root / "usr/share/doc/toy-server/copyright").exists()
    assert "toy:x:77:77:" in (root / "etc/passwd").read_text()
    assert any("2 packages" in line for line in told)


def test_a_layer_has_each_path_once_though_folders_are_merged(published, tmp_path, told):
    store = ImageStore(tmp_path / "store")
    roots = DebianRoots(tmp_path / "cache")
    roots.fetch(SERVER, told.append)
    for layer in store.layers(roots.adopt(SERVER, store)):
        with tarfile.open(store.blob(layer.digest)) as archive:
            names = archive.getnames()
        assert sorted(names) == sorted(set(names))  # docker refuses a layer that has one twice


def test_what_was_fetched_is_used_without_asking_a_registry_again(published, tmp_path, told):
    roots = DebianRoots(tmp_path / "cache")
    made = roots.fetch(SERVER, told.append)
    for archive in (published.folder / "packages").iterdir():
        archive.unlink()
    assert roots.fetch(SERVER, told.append) == made == DebianRoots(tmp_path / "cache").find(SERVER)
    with pytest.raises(AptFailed):
        roots.fetch(SERVER, told.append, again=True)
    assert roots.find(SERVER) == made


def test_an_unknown_package_is_refused_in_the_words_of_apt(registry, tmp_path, told):
    with pytest.raises(AptFailed, match="Unable to locate package toy-server"):
        DebianRoots(tmp_path / "cache").fetch(SERVER, told.append)
    assert not list((tmp_path / "cache").glob("*.json"))


def test_a_registry_that_cannot_be_reached_is_named(registry, tmp_path, told, monkeypatch):
    (registry.folder / "sources.list").write_text("deb [trusted=yes] http://127.0.0.1:9/debian ./\n")
    with pytest.raises(AptFailed, match=r"127\.0\.0\.1"):
        DebianRoots(tmp_path / "cache").fetch(SERVER, told.append)


def test_a_machine_without_apt_is_told_what_would_do(tmp_path, told, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AptFailed, match="Debian or Ubuntu"):
        DebianRoots(tmp_path / "cache").fetch(SERVER, told.append)


def test_two_at_once_fetch_one_image(published, tmp_path, told):
    made = []
    threads = [
        threading.Thread(
            target=lambda: made.append(DebianRoots(tmp_path / "cache").fetch(SERVER, told.append))
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made[0] == made[1]
    assert sum("assembling" in line for line in told) == 1
    assert not list((tmp_path / "cache").glob("tmp*"))


def test_a_server_that_was_not_fetched_is_missing_with_the_command_that_fetches_it(tmp_path):
    with pytest.raises(NotFetched, match="fogbank images fetch toy"):
        DebianRoots(tmp_path / "cache").adopt(SERVER, ImageStore(tmp_path / "store"))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("./lib/x", "usr/lib/x"),
        ("./usr/lib/x", "usr/lib/x"),
        ("./etc/x", "etc/x"),
        ("./", ""),
        ("sbin", "usr/sbin"),
    ],
)
def test_paths_of_merged_folders_are_written_below_usr(name, path):
    assert merged(name) == path
