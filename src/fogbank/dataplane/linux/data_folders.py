"""What servers keep on the region's disk: one folder each, seen by its container and nobody else.

A folder outlives the container and the region, until the controller that wanted it removes it. The
surprising fact: containers' users are strangers on this machine, who may not pass through the state folder;
so they reach the folders by a second mount of them, in the world's own memory.
"""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from fogbank.dataplane.linux import kernel
from fogbank.errors import DriverError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")


class DataFolders:
    """The data folders in ``root``; containers reach them in ``mounted``, by default ``root`` itself."""

    def __init__(self, root: Path, mounted: Path | None = None) -> None:
        self._root, self._mounted = root, mounted
        self._prepared: dict[str, frozenset[str]] = {}

    def open(self, name: str, owner: int) -> Path:
        """Make the folder ``name`` for the user ``owner``; return where a container finds it.

        DriverError when it cannot be made.
        """
        folder = self._folder(name)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.chown(folder, owner, owner)
            for file in self._prepared.pop(name, ()):
                os.chown(folder / file, owner, owner, follow_symlinks=False)
            return self._mount() / name
        except OSError as error:
            raise DriverError(f"The data folder {folder} cannot be made: {error.strerror}") from error

    def path(self, name: str, file: str) -> Path:
        """Return where ``file`` of the folder ``name`` is for us."""
        return self._folder(name) / file

    def prepare(self, name: str, files: Mapping[str, bytes]) -> None:
        """Put files into a folder before a container has it: it owns them when it starts.

        DriverError when that cannot be.
        """
        try:
            self._folder(name).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise DriverError(f"{self._folder(name)} cannot be made: {error.strerror}") from error
        for file, content in files.items():
            self.write(name, file, content)
        self._prepared[name] = self._prepared.get(name, frozenset()) | frozenset(files)

    def write(self, name: str, file: str, content: bytes) -> None:
        """Put a file into a folder that is there, for its owner alone; DriverError when that cannot be."""
        path = self.path(name, file)
        temporary = path.with_name(f".{file}.new")
        try:
            owner = path.parent.stat().st_uid
            temporary.unlink(missing_ok=True)
            # A new file or none: the container, whose folder it is, may have put a link there meanwhile.
            made = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(made, "wb") as new:
                os.fchown(made, owner, owner)
                new.write(content)
            temporary.replace(path)
        except OSError as error:
            raise DriverError(f"{path} cannot be written: {error.strerror}") from error

    def names(self) -> frozenset[str]:
        """Name the folders that there are."""
        return frozenset(each.name for each in self._root.iterdir()) if self._root.exists() else frozenset()

    def remove(self, name: str) -> None:
        """Remove a folder with what is in it; one that is not there is no error. It blocks."""
        shutil.rmtree(self._folder(name), ignore_errors=not self._folder(name).exists())

    def _mount(self) -> Path:
        if self._mounted is None:
            return self._root
        if not os.path.ismount(self._mounted):
            self._mounted.mkdir(exist_ok=True)
            self._mounted.chmod(0o711)
            self._root.chmod(0o711)
            kernel.bind(str(self._root), str(self._mounted))
        return self._mounted

    def _folder(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise DriverError(f"{name!r} cannot name a data folder")
        return self._root / name
