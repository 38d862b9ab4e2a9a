"""Runs workloads as containers: crun for each, in the network namespace of its namespace.

``start`` and ``stop`` come from the driver's thread and wait for nothing: a :class:`Watcher` has a thread of
its own, which also ends containers that use more memory than they may. The surprising fact: the limit of the
processor is not enforced (decision 0190).
"""

import base64
import contextlib
import itertools
import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from fogbank.dataplane.driver import Message, Report, WorkloadExited, WorkloadWrote
from fogbank.dataplane.linux.containers.bundle import (
    TUN,
    User,
    VolumeMount,
    find_user,
    hosts_file,
    render_bundle,
    resolver_files,
)
from fogbank.dataplane.linux.containers.libseccomp import compile_filter
from fogbank.dataplane.linux.containers.processes import freeze, thaw
from fogbank.dataplane.linux.containers.profiles import profile_of
from fogbank.dataplane.linux.containers.rootfs import Roots, keep_in_memory
from fogbank.dataplane.linux.containers.sealed_program import sealed_copy
from fogbank.dataplane.linux.containers.seccomp import profile
from fogbank.dataplane.linux.containers.user_namespace import enter_images
from fogbank.dataplane.linux.containers.volumes import MemoryVolumes
from fogbank.dataplane.linux.containers.watcher import RunningContainer, Watcher
from fogbank.dataplane.linux.data_folders import DataFolders
from fogbank.dataplane.linux.images.unpacked import Image, UnpackedImages
from fogbank.dataplane.linux.net.namespaces import NetworkNamespaces
from fogbank.errors import DriverError
from fogbank.network.topology import Volume, Workload

_log = logging.getLogger(__name__)

GRACE_SECONDS = 10.0
"""Between SIGTERM and SIGKILL (behaviour/cloud-run.md#scaling)."""
MACHINE_GRACE_SECONDS = 90.0
"""The same for virtual machines (behaviour/compute-machines.md#stopping)."""
_NAMESERVER = "169.254.169.254"


class CrunRuntime:
    """All containers of a region; ``folder`` is theirs, ``trusted`` the certificates that they are to trust.

    What they keep is in ``data``; without it they may keep nothing.

    Everybody must be able to pass through the folders above ``folder``: containers' users are strangers.

    Construct it inside the world, where the host's control groups are hidden: it mounts things, and crun
    refuses to run beside a mixed hierarchy.
    """

    def __init__(
        self,
        folder: Path,
        images: UnpackedImages,
        trusted: Path,
        *,
        namespaces: NetworkNamespaces,
        report: Report,
        data: DataFolders | None = None,
    ) -> None:
        self._namespaces = namespaces
        self._folder = folder
        self._images = images
        self._report = report
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._running: dict[str, RunningContainer] = {}
        self._leaving: set[RunningContainer] = set()
        self._crun = shutil.which("crun")
        self._sealed_crun: int | None = None
        self._compiled_filters: dict[bool, str] = {}
        keep_in_memory(folder)
        (folder / "images").mkdir()
        self._ids, self._image_roots = enter_images(images.folder, folder / "images")
        namespaces.delegate_to(tuple((each.inside, each.outside, each.size) for each in self._ids.ranges))
        self._roots = Roots(
            folder / "shared", dict(resolver_files(_NAMESERVER)), trusted, owner=self._ids.root
        )
        self._data = data
        self._volumes = MemoryVolumes(folder / "volumes", self._ids.root)
        self._watcher = Watcher(self._wrote, self._ended)

    def warm(self) -> None:
        """Make what every start uses and crun would otherwise make each time; OSError when that cannot be."""
        self._compiled_filters[False] = base64.b64encode(compile_filter(profile())).decode()
        if self._crun and self._sealed_crun is None:
            self._sealed_crun = sealed_copy(Path(self._crun))

    def start(self, workload: Workload) -> None:
        """Start ``workload`` in the network of its namespace; DriverError when that cannot be.

        It returns as soon as crun runs. What crun refuses is an exit, with the reason as a line of stderr.
        """
        if workload.name in self._running:
            raise DriverError(f"The container {workload.name} runs already.")
        if self._crun is None:
            raise DriverError("crun is not installed. See: fogbank doctor")
        if workload.router and not Path(TUN).exists():
            raise DriverError(f"{workload.name} needs {TUN}, which this machine's kernel does not have.")
        image = self._images.get(workload.image)
        identifier = f"c{next(self._numbers)}"
        folder = self._folder / identifier
        network = self._namespaces.hold(workload.netns)
        own_network = workload.machine is not None or workload.router
        users = self._namespaces.hold_owner(workload.netns) if own_network else None
        try:
            process = self._spawn(identifier, folder, workload, image, (network, users))
        except Exception as error:
            for descriptor in (network, users):
                if descriptor is not None:
                    os.close(descriptor)
            self._roots.remove(folder)
            if not isinstance(error, OSError):
                raise
            raise DriverError(f"The container {workload.name} cannot be started: {error}") from error
        running = RunningContainer(identifier, workload, process, folder, network, users)
        with self._lock:
            self._running[workload.name] = running
        self._watcher.add(running)

    def stop(self, name: str) -> None:
        """Return the container to end and forget it; unknown names are no error. It never waits."""
        with self._lock:
            running = self._running.pop(name, None)
            if running is None:
                return
            self._leaving.add(running)
        self._watcher.stop(running, MACHINE_GRACE_SECONDS if running.workload.machine else GRACE_SECONDS)

    def tell(self, name: str, message: Message) -> None:
        """Have a workload hear of something; nothing when it does not run."""
        with self._lock:
            running = self._running.get(name)
        program = running.program if running else None
        if running is None or program is None:
            return
        match message:
            case "changed":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(program, signal.SIGHUP)
            case "kill":
                running.send(signal.SIGKILL)
            case "freeze":
                freeze(program)
            case "thaw":
                thaw(program)

    def running(self) -> Mapping[str, Workload]:
        """List the workloads that run, without those that were told to stop."""
        with self._lock:
            return {name: running.workload for name, running in self._running.items()}

    def put_volume(self, volume: Volume) -> None:
        """Make ``volume``, or give it other files; OSError when the machine refuses."""
        self._volumes.put(volume)

    def drop_volume(self, name: str) -> None:
        """Take a volume away with what is in it; unknown names are no error."""
        self._volumes.drop(name)

    def volumes(self) -> Mapping[str, Volume]:
        """List the volumes, by name."""
        return self._volumes.all()

    def close(self, grace: float = 1.0) -> None:
        """End all containers: SIGTERM, and SIGKILL after ``grace`` seconds; returns when they are gone."""
        with self._lock:
            self._leaving.update(self._running.values())
            self._running.clear()
            leaving = list(self._leaving)
        for running in leaving:
            self._watcher.stop(running, grace)
        deadline = time.monotonic() + grace + 2.0
        while self._leaving and time.monotonic() < deadline:
            time.sleep(0.005)
        self._watcher.close()
        if self._sealed_crun is not None:
            os.close(self._sealed_crun)
            self._sealed_crun = None

    def _spawn(
        self,
        identifier: str,
        folder: Path,
        workload: Workload,
        image: Image,
        held: tuple[int, int | None],
    ) -> subprocess.Popen[bytes]:
        network, users = held
        folder.mkdir()
        folder.chmod(0o711)
        root = self._make_root(folder, workload, self._image_roots / image.root.name)
        may = profile_of(workload, delegated=users is not None)
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        bundle = render_bundle(
            workload,
            image.config,
            _user(image),
            root=str(root),
            network=f"/proc/{os.getpid()}/fd/{network}",
            open_files=most,
            data=self._folders_of(workload, _user(image)),
            volumes=(*self._mounted(workload), *self._trusted(image)),
            ids=self._ids,
            compiled_filter=self._filter(raw=may.raw),
            may=may,
            users="" if users is None else f"/proc/{os.getpid()}/fd/{users}",
        )
        (folder / "config.json").write_text(json.dumps(bundle))
        process = subprocess.Popen(
            [
                *("crun", "--root", str(self._folder / "state"), "--cgroup-manager=disabled"),
                *("run", "--bundle", str(folder), "--pid-file", str(folder / "pid"), identifier),
            ],
            executable=self._program(),
            stdin=subprocess.PIPE,  # crun makes the container's user the owner of this: never a device
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # There, by default in /tmp, crun makes a copy or a mount of itself that no container can change.
            env={"PATH": os.defpath, "_LIBCONTAINER_STATEDIR": str(self._folder)},
            start_new_session=True,
        )
        if process.stdin:
            process.stdin.close()
        return process

    def _make_root(self, folder: Path, workload: Workload, image: Path) -> Path:
        if workload.machine is None:
            return self._roots.make(image, folder, workload.memory_bytes, hosts_file(workload.hosts))
        if self._data is None:
            raise DriverError(f"{workload.name} cannot have a disk: this world has no folder for it")
        disk = self._data.open(workload.machine.disk, self._ids.root)
        return self._roots.make_on_disk(image, folder, disk)

    def _filter(self, *, raw: bool) -> str:
        """Return the filter of system calls as a program, once warm; machines' is made on first use."""
        if raw and not self._compiled_filters.get(True) and self._compiled_filters:
            self._compiled_filters[True] = base64.b64encode(compile_filter(profile(raw=True))).decode()
        return self._compiled_filters.get(raw, "")

    def _trusted(self, image: Image) -> Iterator[VolumeMount]:
        """Put the region's certificates in place of those that libraries of the image bring along."""
        bundle = self._roots.trust_file
        if bundle is not None:
            for path in image.trust_files:
                yield VolumeMount(path, str(bundle), writable=False)

    def _program(self) -> str:
        """Return the path of the crun to run: the sealed copy, once it has been made."""
        return str(self._crun) if self._sealed_crun is None else f"/proc/{os.getpid()}/fd/{self._sealed_crun}"

    def _folders_of(self, workload: Workload, user: User) -> Mapping[str, str]:
        """Make the data folders of ``workload`` for its user; say where each is, by its path inside."""
        if self._data is None and workload.data:
            raise DriverError(f"{workload.name} cannot keep data: this world has no folder for it")
        owner = self._ids.outside(user.uid)
        return {each.path: str(self._data.open(each.name, owner)) for each in workload.data if self._data}

    def _mounted(self, workload: Workload) -> tuple[VolumeMount, ...]:
        found = ((each.path, self._volumes.find(each.volume)) for each in workload.mounts)
        return tuple(VolumeMount(path, str(place), writable=writable) for path, (place, writable) in found)

    def _wrote(self, running: RunningContainer, stream: str, line: str) -> None:
        self._report(WorkloadWrote(running.workload.name, stream, line))

    def _ended(self, running: RunningContainer, status: int) -> None:
        with self._lock:
            requested = running in self._leaving
            self._leaving.discard(running)
            if not requested:
                self._running.pop(running.workload.name, None)
        self._report(WorkloadExited(running.workload.name, status, requested, running.exceeded))
        self._clean(running)

    def _clean(self, running: RunningContainer) -> None:
        """Return back what a container had; also when crun was killed and could not."""
        state = self._folder / "state" / running.id
        if state.exists():
            command = [str(self._crun), "--root", str(state.parent), "delete", "--force", running.id]
            done = subprocess.run(command, capture_output=True, check=False, timeout=10)
            if done.returncode:
                _log.warning("crun could not clean up after %s: %s", running.id, done.stderr.decode())
        os.close(running.network)
        if running.users is not None:
            os.close(running.users)
        self._roots.remove(running.folder)


def _user(image: Image) -> User:
    """Find who runs the image's program."""
    if not image.config.user:
        return find_user("0", _read(image.root / "etc/passwd"), "")
    return find_user(image.config.user, _read(image.root / "etc/passwd"), _read(image.root / "etc/group"))


def _read(path: Path) -> str:
    """Read a file in /etc of an image, which may not be there; a link could lead out of the image."""
    if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
        return ""
    return path.read_text(errors="replace")
