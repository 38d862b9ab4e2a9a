"""What it takes to run a sample: the machine's Python, cut down to the files that the sample really loads.

A small program runs in the base interpreter, imports what the samples import, and reports the modules' files
and the shared objects in its memory map. Modules go into the image compiled: a cold start compiles nothing.
"""

import importlib.util
import json
import marshal
import os
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fogbank import samples
from fogbank.errors import DriverError

_PROBE = """
import sys
sys.path.insert(0, sys.argv[1])
import {modules}
import json, os
files = set()
with open("/proc/self/maps") as maps:
    for line in maps:
        parts = line.split(None, 5)
        if len(parts) == 6 and parts[5].startswith("/"):
            files.add(parts[5].rstrip("\\n"))
named = [module for module in sys.modules.values() if getattr(module, "__file__", None)]
print(json.dumps({{
    "executable": os.path.realpath("/proc/self/exe"),
    "standard": os.path.dirname(os.__file__),
    "modules": {{module.__name__: module.__file__ for module in named}},
    "mapped": sorted(files),
}}))
"""

# The samples, what they import late, and codecs that the interpreter finds by name.
_MODULES = (
    "fogbank.samples.cloudsql",
    "fogbank.samples.collector",
    "fogbank.samples.hello",
    "fogbank.samples.job",
    "fogbank.samples.netcheck",
    "fogbank.samples.sync",
    "fogbank.samples.postgres",
    "fogbank.samples.visitors",
    "ssl",
    "fcntl",
    "encodings.ascii",
    "encodings.latin_1",
)
# Before glibc 2.34 these are separate, and loaded only when a name is looked up.
_NAME_SERVICES = ("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2")


@dataclass(frozen=True, slots=True)
class PythonRuntime:
    """Files of an image by their path in it, and the symbolic links among them."""

    interpreter: str
    files: dict[str, bytes]
    links: dict[str, str]
    programs: frozenset[str]
    """Which files are executable."""
    folders: dict[str, int]
    """Folders that have to be there although nothing may be in them, and their modes."""


def collect_runtime() -> PythonRuntime:
    """Collect what the samples need from the machine's own Python; DriverError when it cannot be run."""
    found = _ask_interpreter()
    executable = str(found["executable"])
    files: dict[str, bytes] = {executable: Path(executable).read_bytes()}
    links: dict[str, str] = {}
    programs = {executable}
    loader = program_interpreter(files[executable])
    if loader:
        files[loader] = Path(loader).read_bytes()
        programs.add(loader)
    source = Path(samples.__file__).parents[2]
    for name, file in sorted(found["modules"].items()):
        _add_module(files, name, Path(file), Path(found["standard"]), source)
    known = {executable, loader, *found["modules"].values()}
    libraries = [Path(p) for p in found["mapped"] if ".so" in Path(p).name and p not in known]
    _add_libraries(files, links, libraries)
    # Without it the interpreter complains on its standard error about its platform's libraries.
    folders = {str(Path(found["standard"]) / "lib-dynload"): 0o755}
    return PythonRuntime(executable, files, links, frozenset(programs), folders)


def _ask_interpreter() -> dict[str, Any]:
    base = getattr(sys, "_base_executable", None) or sys.executable
    source = str(Path(samples.__file__).parents[2])
    program = _PROBE.format(modules=", ".join(_MODULES))
    command = [base, "-I", "-S", "-B", "-c", program, source]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        raise DriverError(f"The built-in images need Python, and {base} does not run: {error}") from error
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _add_module(files: dict[str, bytes], name: str, file: Path, standard: Path, source: Path) -> None:
    """Add one module; our own modules move to where the standard library is, which is always searched."""
    place = file
    if name.partition(".")[0] == "fogbank":
        place = standard / file.relative_to(source)
    if file.suffix == ".py":
        files[str(place.with_suffix(".pyc"))] = compiled(file, str(place))
    elif file.suffix in {".so", ".pyc"}:
        files[str(place)] = file.read_bytes()


def compiled(file: Path, shown_as: str) -> bytes:
    """Compile a module to the content of a .pyc that is never checked against a source."""
    code = compile(file.read_bytes(), shown_as, "exec", dont_inherit=True, optimize=0)
    # Marshal version 2 has no references between objects: the same source always gives the same bytes.
    return importlib.util.MAGIC_NUMBER + struct.pack("<III", 0b01, 0, 0) + marshal.dumps(code, 2)


def _add_libraries(files: dict[str, bytes], links: dict[str, str], libraries: list[Path]) -> None:
    """Add shared objects under their own names and under those that the loader asks for.

    All names also stand beside the C library, which is in a folder that the loader always searches.
    """
    home = next((lib.parent for lib in libraries if lib.name.startswith(("libc.so", "libc-"))), None)
    wanted = {lib for lib in libraries if lib.exists()}
    if home:
        wanted |= {home / name for name in _NAME_SERVICES if (home / name).exists()}
    for folder in {lib.parent for lib in wanted}:
        names = _names_in(folder)
        for lib in sorted(lib for lib in wanted if lib.parent == folder):
            target = lib.resolve()
            files[str(target)] = target.read_bytes()
            for name in {lib.name, *names.get(target, ())}:
                for place in {folder, home or folder}:
                    link = str(place / name)
                    if link != str(target) and not name.endswith(".so"):  # that one is for compilers
                        links[link] = str(target)


def _names_in(folder: Path) -> dict[Path, list[str]]:
    """List by what they lead to the shared objects' symbolic links in ``folder``."""
    names: dict[Path, list[str]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if ".so" in entry.name and entry.is_symlink():
                names.setdefault(Path(entry.path).resolve(), []).append(entry.name)
    return names


def program_interpreter(program: bytes) -> str | None:
    """Read from an ELF file the path of its dynamic loader; None when it is linked statically."""
    if program[:5] != b"\x7fELF\x02":
        return None
    offset, size, count = (
        struct.unpack_from("<Q", program, 32)[0],
        *struct.unpack_from("<HH", program, 54),
    )
    for number in range(count):
        start = offset + number * size
        kind, _, position, _, _, length = struct.unpack_from("<IIQQQQ", program, start)
        if kind == 3:  # PT_INTERP
            return program[position : position + length].rstrip(b"\0").decode()
    return None
