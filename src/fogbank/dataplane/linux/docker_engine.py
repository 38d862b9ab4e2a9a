"""A docker engine inside the world: Debian's dockerd, unpacked into the cache and never installed.

crun runs it like a container that may do in its own user namespace most of what root may. It has a root, a
network and ids of its own: whoever gets out of one of its containers is a stranger on the machine. It uses
no control groups (``--rootless``) and may not write any: nothing of it appears on the host. What it keeps is
in a folder of the region's. Its socket was opened before and is handed over, so the first client only waits
until it has started.

The surprising fact: without a bridge a container has no network. With ``--network=host``, in a build too, it
has the engine's, where there is the region's proxy and nothing else.
"""

import contextlib
import json
import logging
import os
import shutil
import signal
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path

from fogbank.dataplane.linux import kernel
from fogbank.dataplane.linux.containers.rootfs import keep_in_memory
from fogbank.dataplane.linux.containers.user_namespace import UserNamespace, enter_images, is_machines_root
from fogbank.dataplane.linux.images.debian_roots import DebianRoots
from fogbank.dataplane.linux.images.store import ImageStore
from fogbank.dataplane.linux.images.unpacked import UnpackedImages
from fogbank.dataplane.linux.net.namespaces import raise_loopback
from fogbank.errors import DriverError
from fogbank.resources.server_images import DOCKER

DOCKER_ENGINE = Path("/run/fogbank/docker-engine")
"""Where the engine's root and its writable files are: in the world's own memory."""

_log = logging.getLogger(__name__)

_CAPABILITIES = (
    "AUDIT_WRITE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL MKNOD NET_ADMIN "
    "NET_BIND_SERVICE NET_BROADCAST NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_ADMIN SYS_CHROOT SYS_PTRACE"
)
"""What root has in the engine's own user namespace, as far as dockerd and its containers need it."""
_CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
_DATA = "/var/lib/docker"
_PROXY_PORT = 3128
"""Where the engine expects the region's proxy, in a network of its own."""
_LAST_WORDS = 5
"""Lines of the engine's own log that an error repeats."""


class DockerEngine:
    """The engine of one region: its files below ``folder``, what it keeps in ``data``.

    ``trusted`` are the certificates that it believes when it pushes and pulls.
    """

    def __init__(
        self,
        folder: Path,
        data: Path,
        trusted: Path,
        *,
        roots: DebianRoots,
        store: ImageStore,
        images: UnpackedImages,
    ) -> None:
        self._folder, self._data, self._trusted = folder, data, trusted
        self._roots, self._store, self._images = roots, store, images

    def is_there(self) -> bool:
        """Tell whether the engine was fetched (``fogbank images fetch docker``) and can run.

        An ordinary user may not mount the control groups that runc asks for.
        """
        return is_machines_root() and self._roots.find(DOCKER) is not None

    def run(self, listener: socket.socket, serve_proxy: Callable[[socket.socket], None]) -> None:
        """Serve ``listener`` until the engine ends; DriverError says why it failed.

        ``serve_proxy`` gets a socket in the engine's network, where it expects the region's proxy. Blocks:
        call it in a thread of its own.
        """
        crun = shutil.which("crun")
        if crun is None:
            raise DriverError("crun is not installed. See: fogbank doctor")
        image = self._images.get(self._roots.adopt(DOCKER, self._store)).root
        bundle = self._folder / "bundle"
        try:
            ids = self._mount(image, bundle)
            config = render_engine(bundle, str(self._data), ids)
            (bundle / "config.json").write_text(json.dumps(config))
            self._serve(crun, bundle, listener, serve_proxy)
        except OSError as error:
            raise DriverError(f"The docker engine cannot start: {error}") from error
        finally:
            self._unmount(bundle)

    def _mount(self, image: Path, bundle: Path) -> UserNamespace:
        """Make the engine's root: its image, and above it memory with the region's certificates."""
        keep_in_memory(self._folder)
        (self._folder / "images").mkdir()
        ids, images = enter_images(self._images.folder, self._folder / "images")
        if not ids.ranges:
            raise DriverError(
                "The docker engine needs a user namespace of its own, which this machine refuses."
            )
        self._data.mkdir(mode=0o711, parents=True, exist_ok=True)
        os.chown(self._data, ids.root, ids.root)
        upper, root = bundle / "upper", bundle / "root"
        files = {
            _CERTIFICATES: self._trusted.read_bytes(),
            "etc/hosts": b"127.0.0.1\tlocalhost\n",
            "etc/docker/daemon.json": _CONFIGURATION.encode(),
        }
        for name, content in files.items():
            (upper / name).parent.mkdir(parents=True, exist_ok=True)
            (upper / name).write_bytes(content)
        for made in (upper, *upper.rglob("*")):
            os.chown(made, ids.root, ids.root)
            made.chmod(0o755 if made.is_dir() else 0o644)
        for each in (bundle / "work", bundle / "groups", root):
            each.mkdir()
        kernel.mount("cgroup2", str(bundle / "groups"), "cgroup2")
        bundle.chmod(0o711)
        options = f"lowerdir={images / image.name},upperdir={upper},workdir={bundle / 'work'}"
        kernel.mount("overlay", str(root), "overlay", kernel.MS_NODEV, options)
        return ids

    def _unmount(self, bundle: Path) -> None:
        for each in (bundle / "root", bundle / "groups", self._folder / "images", self._folder):
            if os.path.ismount(each):
                kernel.unmount(str(each))

    def _serve(
        self,
        crun: str,
        bundle: Path,
        listener: socket.socket,
        serve_proxy: Callable[[socket.socket], None],
    ) -> None:
        """Run the engine, which gets the listener as its file 3, as systemd would hand it over."""
        heard, said = os.pipe()
        number = bundle / "pid"
        state = ("--root", str(self._folder / "state"), "--cgroup-manager=disabled")
        options = ("--preserve-fds", "1", "--pid-file", str(number), "--bundle", str(bundle))
        process = os.posix_spawn(
            crun,
            [crun, *state, "run", *options, "docker-engine"],
            {"PATH": os.defpath, "_LIBCONTAINER_STATEDIR": str(self._folder)},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, said, 1),
                (os.POSIX_SPAWN_DUP2, said, 2),
                (os.POSIX_SPAWN_DUP2, listener.fileno(), 3),
            ],
            setsid=True,
        )
        os.close(said)
        proxied = False
        last: deque[str] = deque(maxlen=_LAST_WORDS)
        try:
            with os.fdopen(heard, errors="replace") as lines:
                for line in lines:  # its first line comes once it is in its namespaces
                    if not proxied and number.exists():
                        proxied = True
                        serve_proxy(_proxy_socket(int(number.read_text())))
                    _log.debug("docker engine: %s", line.rstrip())
                    last.append(line.strip())
        except BaseException:  # it would run on, and a second one beside it
            _kill(process, number)
            raise
        finally:
            status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if status:
            raise DriverError(f"The docker engine ended with status {status}: {' '.join(last)}")


def _kill(process: int, number: Path) -> None:
    """End the engine, which ``number`` has the id of, and the crun that waits for it."""
    for each in (int(number.read_text()) if number.exists() else process, process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def _proxy_socket(process: int) -> socket.socket:
    """Open the socket that the engine takes for its proxy, in the network of the engine's process."""
    network = os.open(f"/proc/{process}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    home = kernel.open_own_network()
    try:
        with kernel.inside(network, home=home):
            raise_loopback()
            made = socket.create_server(("127.0.0.1", _PROXY_PORT))
    finally:
        os.close(network)
        os.close(home)
    made.setblocking(False)
    return made


def render_engine(bundle: Path, data: str, ids: UserNamespace) -> dict[str, object]:
    """Render the engine's configuration (OCI ``config.json``); ``bundle`` and ``data`` are folders."""
    capabilities = [f"CAP_{name}" for name in _CAPABILITIES.split()]
    mappings = [
        {"containerID": each.inside, "hostID": each.outside, "size": each.size} for each in ids.ranges
    ]
    return {
        "ociVersion": "1.0.2",
        "hostname": "docker",
        "root": {"path": str(bundle / "root"), "readonly": False},
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": list(_COMMAND),
            "env": [f"{name}={value}" for name, value in _ENVIRONMENT.items()],
            "cwd": "/",
            "noNewPrivileges": False,
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
            "rlimits": [],
        },
        "mounts": [
            _mount("/proc", "proc", "nosuid", "noexec", "nodev"),
            _mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
            _bind("/sys/fs/cgroup", str(bundle / "groups"), "ro"),
            _mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=1m"),
            _mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
            _mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=64m"),  # noqa: S108
            _mount("/run", "tmpfs", "nosuid", "nodev", "mode=755"),
            _mount("/tmp", "tmpfs", "nosuid", "nodev", "mode=1777"),  # noqa: S108
            _bind(_DATA, data, "rw"),
        ],
        "linux": {
            "namespaces": [{"type": each} for each in ("pid", "mount", "ipc", "uts", "network", "user")],
            "uidMappings": mappings,
            "gidMappings": mappings,
        },
    }


_CONFIGURATION = json.dumps(
    {
        "runtimes": {"own": {"path": "/usr/sbin/runc", "runtimeArgs": ["--rootless=true"]}},
        "default-runtime": "own",
    }
)
_COMMAND = (
    "/usr/sbin/dockerd",
    "--rootless",
    "--config-file=/etc/docker/daemon.json",
    "--host=fd://",
    "--bridge=none",
    "--iptables=false",
    "--ip6tables=false",
    f"--data-root={_DATA}",
    "--exec-root=/run/docker",
    "--pidfile=/run/docker.pid",
)


_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "XDG_RUNTIME_DIR": "/run",
    "HTTPS_PROXY": f"http://127.0.0.1:{_PROXY_PORT}",
    "NO_PROXY": "127.0.0.1,localhost",
    "SSL_CERT_FILE": f"/{_CERTIFICATES}",
    "LISTEN_FDS": "1",
    "LISTEN_PID": "1",
}


def _bind(destination: str, source: str, *options: str) -> dict[str, object]:
    flags = ["rbind", "nosuid", "nodev", *options]
    return {"destination": destination, "type": "none", "source": source, "options": flags}


def _mount(destination: str, kind: str, *options: str) -> dict[str, object]:
    return {"destination": destination, "type": kind, "source": kind, "options": list(options)}
