"""The image of Envoy, the proxy of load balancers: the program of its Python package, and its libraries.

``pip install fogbank[load-balancers]`` brings it. The image is made when a region first wants it, and kept in
the cache; another version of the package makes another image.
"""

import hashlib
import importlib.util
import json
import os
import subprocess
import tempfile
from pathlib import Path

from fogbank.dataplane.linux.images.layer import pack
from fogbank.dataplane.linux.images.one_program import image_of
from fogbank.dataplane.linux.images.python_runtime import program_interpreter
from fogbank.dataplane.linux.images.store import (
    ImageMissing,
    ImageStore,
)
from fogbank.errors import DriverError
from fogbank.resources.server_images import ENVOY

_PROGRAM = "/usr/bin/envoy"
_FOLDERS = {"/dev": 0o755, "/proc": 0o555, "/run": 0o755, "/sys": 0o555, "/tmp": 0o1777}  # noqa: S108
_FILES = {
    "/etc/passwd": b"root:x:0:0:root:/:/sbin/nologin\n",
    "/etc/group": b"root:x:0:\n",
    "/etc/nsswitch.conf": b"hosts: files\n",
}


class EnvoyMissing(ImageMissing):
    """The proxy of load balancers is not on this machine."""

    def __init__(self) -> None:
        super().__init__(ENVOY)
        self.args = (
            (
                "Envoy, the proxy of load balancers, is not on this machine yet: "
                "pip install 'fogbank[load-balancers]'"
            ),
        )


def provide(repository: str, store: ImageStore, cache: Path) -> None:
    """Put Envoy's image into ``store``, if ``repository`` is its; EnvoyMissing without the package."""
    if repository != ENVOY:
        return
    program = find_program()
    if program is None:
        raise EnvoyMissing
    digests = _find_or_make(program, cache)
    for digest in digests:
        store.adopt_blob(_blob(cache, digest), digest)
    store.tag([ENVOY], digests[-1])


def find_program() -> Path | None:
    """Find the program in its Python package; None when that is not installed."""
    found = importlib.util.find_spec("envoy")
    folders = found.submodule_search_locations if found else None
    programs = (Path(each) / "_bin" / "envoy" for each in folders or ())
    return next((each for each in programs if each.is_file()), None)


def _find_or_make(program: Path, cache: Path) -> tuple[str, ...]:
    """Return the digests of the image's blobs, the manifest last."""
    facts = program.stat()
    mark = hashlib.sha256(f"{program} {facts.st_size} {facts.st_mtime_ns}".encode()).hexdigest()[:16]
    note = cache / f"envoy-{mark}.json"
    if note.exists():
        known = tuple(json.loads(note.read_bytes()))
        if all(_blob(cache, each).exists() for each in known):
            return known
    made = _make(program)
    for digest, content in made.items():
        _write(_blob(cache, digest), content)
    _write(note, json.dumps(list(made)).encode())
    return tuple(made)


def _make(program: Path) -> dict[str, bytes]:
    """Make the image: blobs by digest, the manifest last."""
    files, links = dict(_FILES), dict[str, str]()
    content = program.read_bytes()
    files[_PROGRAM] = content
    loader = program_interpreter(content)
    programs = {_PROGRAM}
    if loader:
        files[loader] = Path(loader).read_bytes()
        programs.add(loader)
        for library in _libraries(loader, program):
            files[library] = Path(library).read_bytes()
    layer = pack(files, links=links, programs=frozenset(programs), folders=_FOLDERS)
    return image_of(layer, _PROGRAM)


def _libraries(loader: str, program: Path) -> list[str]:
    """Ask the dynamic loader which shared objects a program needs."""
    try:
        done = subprocess.run([loader, "--list", str(program)], capture_output=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        raise DriverError(f"{program} cannot be loaded on this machine: {error}") from error
    lines = (line.partition(" => ")[2].split() for line in done.stdout.decode().splitlines())
    return [words[0] for words in lines if words and words[0].startswith("/")]


def _blob(cache: Path, digest: str) -> Path:
    return cache / "blobs" / digest.removeprefix("sha256:")


def _write(path: Path, content: bytes) -> None:
    """Write ``path`` so that a reader sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(number, "wb") as file:
        file.write(content)
    Path(temporary).replace(path)
