"""Renders the runtime configuration of one container (OCI ``config.json``), purely.

What a container gets follows Cloud Run's contract (behaviour/cloud-run.md#container): the image's environment
and then the service's, the host name ``localhost``, a /dev and /proc of its own, no /sys, few capabilities.
Its network namespace is the namespace of its workload; everything else is private to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fogbank.dataplane.linux.containers.profiles import SERVER, Profile
from fogbank.dataplane.linux.containers.seccomp import profile
from fogbank.dataplane.linux.containers.user_namespace import IdRange, UserNamespace
from fogbank.dataplane.linux.images.store import ImageConfig
from fogbank.network.topology import Workload

_MASKED = (
    "acpi",
    "asound",
    "interrupts",
    "kcore",
    "keys",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
)
TUN = "/dev/net/tun"
"""What a program opens to make a tun device in its own network namespace."""
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

FILES_LIMIT = 25_000
"""How many files a container may have open, where the machine allows as many.

See behaviour/cloud-run.md#container.
"""
PROCESSES_LIMIT = 4096
"""How many processes and threads each user of a container may have: ours, so that a fork bomb stays inside.

It counts in the container's own user namespace; without one it would count those of all containers.
"""


@dataclass(frozen=True, slots=True)
class User:
    """Who runs the program."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/root"


@dataclass(frozen=True, slots=True)
class VolumeMount:
    """The folder ``place`` of ours appears at ``path`` of a container."""

    path: str
    place: str
    writable: bool


def render_bundle(
    workload: Workload,
    image: ImageConfig,
    user: User,
    *,
    root: str,
    network: str,
    open_files: int,
    data: Mapping[str, str] = MappingProxyType({}),
    volumes: tuple[VolumeMount, ...] = (),
    ids: UserNamespace,
    compiled_filter: str = "",
    may: Profile = SERVER,
    users: str = "",
) -> dict[str, object]:
    """Render the configuration: ``root`` and ``network`` are paths, ``open_files`` this machine's limit.

    ``data`` says which folder of ours the container sees at which path.

    ``compiled_filter`` is the filter of system calls as a program in base64; without it crun makes one.
    ``may`` is what it may do; ``users`` the path of the user namespace that it joins: by default a new one.
    """
    limits = {"RLIMIT_NOFILE": min(FILES_LIMIT, open_files), "RLIMIT_CORE": 0}
    if ids.ranges:
        limits["RLIMIT_NPROC"] = PROCESSES_LIMIT
    return {
        "ociVersion": "1.0.2",
        "hostname": workload.machine.hostname if workload.machine else "localhost",
        "root": {"path": root, "readonly": False},
        "process": {
            "terminal": False,
            "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
            "args": list(command_line(workload, image)),
            "env": [f"{name}={value}" for name, value in environment(workload, image, user).items()],
            "cwd": workload.folder or image.folder,
            "noNewPrivileges": not may.setuid,
            "oomScoreAdj": 500,
            "capabilities": _capabilities(user, may),
            "rlimits": [{"type": name, "hard": most, "soft": most} for name, most in limits.items()],
        },
        "mounts": [
            *_MOUNTS,
            *(_MACHINE_MOUNTS if workload.machine else ()),
            *(_ROUTER_MOUNTS if workload.router else ()),
            *(_bind(path, folder) for path, folder in data.items()),
            *(_bind(each.path, each.place, writable=each.writable) for each in volumes),
        ],
        "annotations": {"run.oci.seccomp_bpf_data": compiled_filter} if compiled_filter else {},
        "linux": {
            "namespaces": [
                {"type": "pid"},
                {"type": "mount"},
                {"type": "ipc"},
                {"type": "uts"},
                {"type": "network", "path": network},
                *_user_namespace(ids, users),
            ],
            "uidMappings": [] if users else _mappings(ids.including(user.uid)),
            "gidMappings": [] if users else _mappings(ids.including(user.gid)),
            "seccomp": profile(raw=True) if may.raw else profile(),
            "maskedPaths": [f"/proc/{name}" for name in _MASKED],
            "readonlyPaths": [f"/proc/{name}" for name in may.read_only],
        },
    }


def _mappings(ranges: tuple[IdRange, ...]) -> list[dict[str, int]]:
    return [{"containerID": each.inside, "hostID": each.outside, "size": each.size} for each in ranges]


def _user_namespace(ids: UserNamespace, joined: str) -> list[dict[str, str]]:
    if joined:
        return [{"type": "user", "path": joined}]
    return [{"type": "user"}] if ids.ranges else []


def _capabilities(user: User, may: Profile) -> dict[str, list[str]]:
    """Return root the few; another user starts with none and cannot get any, unless by a program's owner."""
    given = list(may.capabilities)
    own = given if user.uid == 0 else []
    return {"bounding": given, "effective": own, "permitted": own, "inheritable": [], "ambient": []}


def _mount(destination: str, kind: str, *options: str) -> dict[str, object]:
    return {"destination": destination, "type": kind, "source": kind, "options": list(options)}


def _bind(destination: str, source: str, *, writable: bool = True) -> dict[str, object]:
    options = ["bind", "rw" if writable else "ro", "nosuid", "nodev"]
    return {"destination": destination, "type": "none", "source": source, "options": options}


_MOUNTS = (
    _mount("/proc", "proc", "nosuid", "noexec", "nodev"),
    _mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=64k"),
    _mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
    _mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=64m"),  # noqa: S108
)

_MACHINE_MOUNTS = (_mount("/run", "tmpfs", "nosuid", "nodev", "mode=755", "size=64m"),)
"""A disk keeps what is written elsewhere; what belongs to one boot is in memory, as systemd has it."""


_ROUTER_MOUNTS = (
    {"destination": TUN, "type": "none", "source": TUN, "options": ["bind", "rw", "nosuid", "noexec"]},
)


def command_line(workload: Workload, image: ImageConfig) -> tuple[str, ...]:
    """Join command and arguments: the workload's replace the image's; a command drops its arguments."""
    if workload.command:
        return (*workload.command, *workload.arguments)
    return (*image.entrypoint, *(workload.arguments or image.command))


def environment(workload: Workload, image: ImageConfig, user: User) -> dict[str, str]:
    """Merge the environments: the workload's wins over the image's, and both over the usual."""
    usual = {"PATH": _DEFAULT_PATH, "HOME": user.home}
    return usual | dict(image.environment) | dict(workload.environment) | dict(workload.secrets)


def find_user(text: str, passwd: str, group: str) -> User:
    """Find who ``USER[:GROUP]`` is by the image's own files; an unknown one is root.

    See behaviour/cloud-run.md#container.
    """
    name, _, group_name = text.partition(":")
    users = _rows(passwd, 7)
    found = next((row for row in users if name in {row[0], row[2]}), None)
    if found is None and not name.isdigit():
        return User(home=next((row[5] for row in users if row[2] == "0"), "/root"))
    uid = int(found[2]) if found else int(name)
    gid = int(found[3]) if found else 0
    groups = _rows(group, 4)
    chosen = next((int(row[2]) for row in groups if group_name and group_name in {row[0], row[2]}), None)
    if chosen is None and group_name.isdigit():
        chosen = int(group_name)
    more = tuple(int(row[2]) for row in groups if found and found[0] in row[3].split(","))
    return User(
        uid, gid if chosen is None else chosen, () if group_name else more, found[5] if found else "/"
    )


def _rows(text: str, width: int) -> list[list[str]]:
    rows = (line.split(":") for line in text.splitlines() if line and not line.startswith("#"))
    return [row for row in rows if len(row) >= width and row[2].isdigit()]


def hosts_file(names: tuple[str, ...]) -> Mapping[str, str]:
    """Return the /etc/hosts of a container whose siblings are called ``names``; nothing without any.

    See behaviour/cloud-run.md#container.
    """
    lines = "".join(f"127.0.0.1\t{name}\n" for name in names)
    return {"etc/hosts": f"127.0.0.1\tlocalhost\n{lines}"} if names else {}


def resolver_files(nameserver: str) -> Mapping[str, str]:
    """Return the files that every container has in /etc, by path."""
    return {
        "etc/resolv.conf": f"nameserver {nameserver}\noptions timeout:2 attempts:2\n",
        "etc/hosts": "127.0.0.1\tlocalhost\n",
        "etc/hostname": "localhost\n",
    }
