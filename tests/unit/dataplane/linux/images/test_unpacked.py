"""Layers become a root file system, and nothing outside it."""

import fcntl
import gzip
import io
import stat
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dataplane.linux.images.test_store import NAME, manifest_of

from fogbank.dataplane.linux.images import unpacked
from fogbank.dataplane.linux.images.layer import pack
from fogbank.dataplane.linux.images.store import ImageConfig, ImageStore
from fogbank.dataplane.linux.images.unpacked import UnpackedImages, unpack_layer
from fogbank.errors import DriverError


def layer(*entries: tuple[str, bytes | str | None], **options) -> bytes:
    """Make a tar: content as bytes, a link's target as text, a folder as None."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, what in entries:
            entry = tarfile.TarInfo(name)
            for key, value in options.items():
                setattr(entry, key, value)
            if what is None:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
            elif isinstance(what, str):
                hard = what.startswith("=")
                entry.type = tarfile.LNKTYPE if hard else tarfile.SYMTYPE
                entry.linkname = what.removeprefix("=")
                archive.addfile(entry)
            else:
                entry.size = len(what)
                archive.addfile(entry, io.BytesIO(what))
    return packed.getvalue()


@pytest.fixture
def apply(tmp_path):
    root = tmp_path / "root"
    root.mkdir()

    def unpack(*layers: bytes):
        for number, content in enumerate(layers):
            file = tmp_path / f"layer{number}"
            file.write_bytes(content)
            unpack_layer(file, root)
        return root

    return unpack


def test_later_layers_lie_over_earlier_ones(apply):
    root = apply(layer(("a", b"1"), ("d", None), ("d/b", b"1")), layer(("a", b"2")))
    assert ((root / "a").read_bytes(), (root / "d/b").read_bytes()) == (b"2", b"1")


def test_a_gzipped_layer_is_unpacked(apply):
    assert (apply(gzip.compress(layer(("a", b"1")))) / "a").read_bytes() == b"1"


def test_a_whiteout_deletes_and_is_not_there_itself(apply):
    root = apply(layer(("d/a", b"1"), ("d/b", b"1")), layer(("d/.wh.a", b"")))
    assert [path.name for path in (root / "d").iterdir()] == ["b"]


def test_an_opaque_folder_hides_only_what_lower_layers_put_there(apply):
    root = apply(layer(("d/a", b"1"), ("d/e/f", b"1")), layer(("d/new", b"2"), ("d/.wh..wh..opq", b"")))
    assert [path.name for path in (root / "d").iterdir()] == ["new"]


def test_a_folder_may_become_a_file_and_back(apply):
    root = apply(layer(("x/y", b"1")), layer(("x", b"2")), layer(("x/z", b"3")))
    assert (root / "x/z").read_bytes() == b"3"


def test_modes_and_hard_links_are_kept(apply):
    root = apply(layer(("bin/a", b"1"), mode=0o4755), layer(("bin/b", "=bin/a")))
    assert stat.S_IMODE((root / "bin/a").stat().st_mode) == 0o4755
    assert (root / "bin/b").samefile(root / "bin/a")


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/../evil"])
def test_an_entry_that_climbs_out_is_refused(apply, tmp_path, name):
    with pytest.raises(DriverError, match="leaves its root"):
        apply(layer((name, b"1")))
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("target", ["../../../..", "/", "../outside"])
def test_a_link_leads_nowhere_outside(apply, tmp_path, target):
    (tmp_path / "outside").mkdir()
    root = apply(layer(("way", target), ("way/in/file", b"1")))
    assert not list((tmp_path / "outside").iterdir())
    assert [path for path in root.rglob("file") if path.read_bytes() == b"1"]


def test_a_hard_link_takes_nothing_from_outside(apply, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    with pytest.raises((DriverError, OSError)):
        apply(layer(("way", ".."), ("stolen", "=../secret")))


def test_links_in_a_circle_are_refused(apply):
    with pytest.raises(DriverError, match="too many links"):
        apply(layer(("a", "b"), ("b", "a"), ("a/x", b"1")))


paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))


@given(files=st.dictionaries(paths.map(lambda path: f"{path}.f"), st.binary(max_size=50), max_size=6))
def test_packed_files_come_out_as_they_went_in_and_always_the_same(tmp_path_factory, files):
    folder = tmp_path_factory.mktemp("pack")
    packed = pack(files)
    assert pack(dict(reversed(files.items()))) == packed
    (folder / "layer").write_bytes(packed)
    (folder / "root").mkdir()
    unpack_layer(folder / "layer", folder / "root")
    found = {f"/{path.relative_to(folder / 'root')}": path for path in (folder / "root").rglob("*.f")}
    assert {name: path.read_bytes() for name, path in found.items()} == files


def test_what_a_killed_region_had_begun_to_unpack_is_removed_and_what_another_unpacks_is_not(tmp_path):
    unfinished = tmp_path / "roots/.unpack-killed"
    unfinished.mkdir(parents=True)
    with unpacked._locked(tmp_path / "roots", fcntl.LOCK_SH):
        UnpackedImages(ImageStore(tmp_path / "store"), tmp_path / "roots")
        assert unfinished.exists()
    UnpackedImages(ImageStore(tmp_path / "store"), tmp_path / "roots")
    assert not unfinished.exists()
    assert (tmp_path / "roots").stat().st_mode & 0o777 == 0o700


def _corrupt(content: bytes) -> bytes:
    packed = bytearray(gzip.compress(content * 20))
    packed[20:40] = bytes(20)
    return bytes(packed)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(layer(("a", b"1"), pax_headers={"path": "a\0b"}), id="a name with a NUL"),
        pytest.param(layer(("a", b"1"), uid=1 << 40), id="an owner of 40 bits"),
        pytest.param(_corrupt(layer(("a", b"1" * 5000))), id="broken deflate"),
        pytest.param(gzip.compress(layer(("a", b"1")))[:30], id="the beginning of a gzip file"),
        pytest.param(layer(("a" * 300, b"1")), id="a name that is too long for a file"),
    ],
)
def test_a_malformed_layer_is_an_error_of_the_driver(tmp_path, content):
    images = UnpackedImages(ImageStore(tmp_path / "store"), tmp_path / "roots")
    digest = images.registry.put_manifest(NAME, manifest_of(images.registry, {}, content))
    with pytest.raises(DriverError, match="cannot be unpacked"):
        images.get(digest)
    assert [each.name for each in (tmp_path / "roots").iterdir()] == []


@pytest.mark.parametrize(
    "config",
    [
        [],
        "a",
        {"Env": "A=1"},
        {"Env": [1]},
        {"Cmd": {}},
        {"Entrypoint": [None]},
        {"User": 7},
        {"WorkingDir": []},
    ],
    ids=str,
)
def test_a_configuration_of_another_shape_is_an_error_of_the_driver(tmp_path, config):
    registry = ImageStore(tmp_path / "store")
    digest = registry.put_manifest(NAME, manifest_of(registry, config))
    with pytest.raises(DriverError):
        registry.config(digest)


@pytest.mark.parametrize("config", [None, {}, {"Env": None, "Cmd": None, "User": None}], ids=str)
def test_a_configuration_may_leave_everything_out(tmp_path, config):
    registry = ImageStore(tmp_path / "store")
    digest = registry.put_manifest(NAME, manifest_of(registry, config))
    assert registry.config(digest) == ImageConfig()
