"""Runs the ways out (tests/attacks/ways_out.py) in a container, and knows which answers are refusals."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.dataplane.test_containers import NETCHECK, Room

from fogbank.dataplane.linux.images import python_runtime
from fogbank.dataplane.linux.images.builtin import make
from fogbank.dataplane.linux.images.store import ImageStore
from fogbank.dataplane.linux.images.unpacked import UnpackedImages

WAYS_OUT = Path(__file__).with_name("ways_out.py")
REFUSALS = {"EPERM", "EACCES", "EROFS", "ENOENT", "ENOSYS", "EAFNOSUPPORT", "ENXIO"}
OTHERWISE = {
    "overwrite the program that started us": "ETXTBSY",  # the image's own Python, in the container's memory
    "a user id of the machine": "EINVAL",  # the container has no such id
    "an abstract socket of the world": "ECONNREFUSED",  # its network namespace has no such name
    "the table of keys": "ENODATA",  # masked by /dev/null
    "the table of timers": "ENODATA",
}


def netcheck_with_ctypes(folder: Path) -> UnpackedImages:
    """Make netcheck's image, with ctypes, under its own name."""
    store = ImageStore(folder / "registry", lambda _: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(python_runtime, "_MODULES", (*python_runtime._MODULES, "ctypes"))
        blobs, manifests = make(python_runtime.collect_runtime())
    for digest, content in blobs.items():
        store.put_blob(content, digest)
    store.tag([NETCHECK], manifests["netcheck"])
    images = UnpackedImages(store, folder / "cache")
    images.get(manifests["netcheck"])
    return images


def try_all(here: Room) -> dict[str, str]:
    """Try every way in a container; what each one met."""
    mounts = Path("/proc/mounts").read_text()
    assert "fogbank /dev tmpfs" in mounts, "a way that is open would change this machine's devices"
    with socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0fogbank-ways-out")
        abstract.listen()
        printed = here.run(WAYS_OUT.read_text())
        assert printed, here.lines("stderr")
        found: dict[str, str] = json.loads(printed[0])
    return found


def open_ways(met: dict[str, Any]) -> dict[str, Any]:
    """Pick the ways that met no refusal."""
    return {name: text for name, text in met.items() if is_open(name, text)}


def is_open(name: str, met: str) -> bool:
    return met != OTHERWISE[name] if name in OTHERWISE else met not in REFUSALS
