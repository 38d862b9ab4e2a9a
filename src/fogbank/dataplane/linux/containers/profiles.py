"""What a container may do: a process of Cloud Run has little, a virtual machine has a network of its own.

A machine's root may change its links, routes, rules and kernel settings of networking, send any packet, and
lend its rights (``sudo``, ``su``, sshd's chroot). All of that is over a network namespace that belongs to the
machine's own user namespace; without one it gets no power over networks, because that would be the region's.
"""

from dataclasses import dataclass

from fogbank.network.topology import Workload


@dataclass(frozen=True, slots=True)
class Profile:
    """``capabilities`` are those of its root; ``read_only`` are paths below /proc that nobody may write to.

    With ``setuid`` a program may give its user the owner's rights. ``raw`` allows packet sockets and chroot.
    """

    capabilities: tuple[str, ...]
    read_only: tuple[str, ...]
    setuid: bool = False
    raw: bool = False


def _capabilities(*names: str) -> tuple[str, ...]:
    return tuple(f"CAP_{name}" for name in sorted(names))


_SERVER = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID")
"""Enough to serve and to change users; not for raw sockets, mounts, devices or the network's settings."""

SERVER = Profile(_capabilities(*_SERVER), ("bus", "fs", "irq", "sys", "sysrq-trigger"))

_LOGINS = ("AUDIT_WRITE", "SETFCAP", "SETPCAP", "SYS_CHROOT")
"""What sshd and sudo use beside that."""
_NETWORK = ("NET_ADMIN", "NET_RAW")
_KERNEL_SETTINGS = tuple(f"sys/{name}" for name in ("abi", "debug", "dev", "fs", "kernel", "user", "vm"))
"""All but ``sys/net``, of which a process sees its own network namespace's."""

MACHINE = Profile(
    _capabilities(*_SERVER, *_LOGINS, *_NETWORK),
    ("bus", "fs", "irq", *_KERNEL_SETTINGS, "sysrq-trigger"),
    setuid=True,
    raw=True,
)
ROUTER = Profile(
    _capabilities(*_SERVER, *_NETWORK, "SYS_ADMIN"),
    ("bus", "fs", "irq", *_KERNEL_SETTINGS, "sysrq-trigger"),
    raw=True,
)
"""A VPN gateway with a BGP daemon. FRR wants CAP_SYS_ADMIN for namespaces that it is never asked to enter;
the filter of system calls refuses to enter any, and mounts, whatever the capability.
"""
POWERLESS_MACHINE = Profile(_capabilities(*_SERVER, *_LOGINS), SERVER.read_only, setuid=True)
"""A machine whose network belongs to the region: where no user namespace could be had."""


def profile_of(workload: Workload, *, delegated: bool) -> Profile:
    """Choose the profile; ``delegated`` is whether its network belongs to a user namespace of its own."""
    if workload.router and delegated:
        return ROUTER
    if workload.machine is None:
        return SERVER
    return MACHINE if delegated else POWERLESS_MACHINE
