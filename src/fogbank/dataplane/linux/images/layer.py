"""Packs files into an image layer: the same files give the same bytes, so the same digest."""

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath


def pack(
    files: Mapping[str, bytes],
    *,
    links: Mapping[str, str] | None = None,
    programs: frozenset[str] = frozenset(),
    folders: Mapping[str, int] | None = None,
) -> bytes:
    """Make a tar of ``files`` by absolute path: ``programs`` are executable, ``folders`` have modes."""
    links, modes = links or {}, dict(folders or {})
    for path in (*files, *links):
        for parent in _parents(path):
            modes.setdefault(parent, 0o755)
    entries: dict[str, tuple[tarfile.TarInfo, bytes]] = {}
    for path, mode in modes.items():
        entries[path] = (_entry(path, tarfile.DIRTYPE, mode), b"")
    for path, content in files.items():
        entry = _entry(path, tarfile.REGTYPE, 0o755 if path in programs else 0o644)
        entry.size = len(content)
        entries[path] = (entry, content)
    for path, target in links.items():
        entry = _entry(path, tarfile.SYMTYPE, 0o777)
        entry.linkname = target
        entries[path] = (entry, b"")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for _, (entry, content) in sorted(entries.items()):
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _entry(path: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.type, entry.mode = kind, mode
    return entry


def _parents(path: str) -> Iterable[str]:
    return (str(parent) for parent in PurePosixPath(path).parents if str(parent) != "/")
