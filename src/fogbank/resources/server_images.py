"""Servers of managed services, and a docker engine: which Debian packages each is made of.

Memorystore runs a real redis-server. Its files come from the Debian registry that this machine's apt already
uses (`fogbank images fetch`), never from Google, and a container runs them like any other image.
"""

from dataclasses import dataclass

SCRIPT_PACKAGES = (
    "adduser",
    "debconf",
    "dpkg",
    "init-system-helpers",
    "lsb-base",
    "passwd",
    "sysvinit-utils",
    "ucf",
    "usr-is-merged",
    "usrmerge",
)
"""What packages need only while they are installed on a machine: their scripts never run here."""


@dataclass(frozen=True, slots=True)
class ServerImage:
    """An image made of ``packages`` and what they depend on, without ``assumed`` and what only those need.

    ``users`` are added to its /etc/passwd, with their ids; ``user`` is who its programs run as, root unless
    named. ``links`` are symbolic links, by absolute path.
    """

    name: str
    packages: tuple[str, ...]
    assumed: tuple[str, ...] = SCRIPT_PACKAGES
    users: tuple[tuple[str, int], ...] = ()
    user: str = ""
    links: tuple[tuple[str, str], ...] = ()

    @property
    def repository(self) -> str:
        """The repository under which a region's store has it; no registry of that host exists."""
        return f"debian.fogbank.internal/servers/{self.name}"


REDIS = ServerImage("redis", ("redis-server",), users=(("redis", 999),))

DOCKER = ServerImage("docker", ("docker.io", "dash"), links=(("/usr/bin/sh", "dash"),))
"""The engine for machines that have none (`src/fogbank/dataplane/linux/docker_engine.py`)."""

POSTGRES = ServerImage(
    "postgres",
    ("postgresql-15", "coreutils", "dash", "libc-bin"),
    # Compiled expressions (LLVM, 110 MB), other languages' messages, and what manages clusters on a machine.
    assumed=(
        *SCRIPT_PACKAGES,
        "libllvm14",
        "locales",
        "locales-all",
        "postgresql-client-15",
        "postgresql-common",
        "ssl-cert",
    ),
    users=(("postgres", 999),),
    user="postgres",
    links=(("/usr/bin/sh", "dash"),),
)
"""Cloud SQL's server; ``initdb`` runs programs by the shell."""

MACHINE = ServerImage(
    "machine",
    (
        *("base-files", "base-passwd", "bash", "busybox", "ca-certificates", "coreutils", "curl", "dash"),
        *("diffutils", "findutils", "grep", "gzip", "hostname", "iproute2", "iptables", "iputils-ping"),
        *("knot-dnsutils", "less", "libc-bin", "login", "mawk", "ncurses-base", "netcat-openbsd", "nftables"),
        *("openssh-client", "openssh-server", "openssh-sftp-server", "passwd", "procps", "python3", "sed"),
        *("sudo", "tar", "tcpdump", "traceroute", "util-linux"),
    ),
    assumed=(
        *("adduser", "cdebconf", "debconf", "dpkg", "init-system-helpers", "libpam-runtime", "lsb-base"),
        *("media-types", "perl-base", "readline-common", "runit-helper", "sysvinit-utils", "tzdata", "ucf"),
        *("usr-is-merged", "usrmerge"),
    ),
)
"""The root of virtual machines, whatever public image they boot; what Debian's scripts would set up is in
`src/fogbank/dataplane/linux/machines/root`.
"""

ENVOY = "python.fogbank.internal/servers/envoy"
"""The repository of the load balancers' proxy, which a Python package brings."""

VPN = ServerImage(
    "vpn",
    (
        *("strongswan-charon", "strongswan-swanctl", "libcharon-extra-plugins"),
        *("libstrongswan-standard-plugins", "frr", "iproute2", "dash", "coreutils"),
    ),
    assumed=(
        *SCRIPT_PACKAGES,
        *("iptables", "kmod", "libpam-modules", "libpam-modules-bin", "libpam-runtime", "libpython3.11"),
        *("logrotate", "lsof", "perl", "perl-base", "python3", "strongswan-starter"),
    ),
    users=(("frr", 998), ("frrvty", 997)),
    links=(("/usr/bin/sh", "dash"),),
)
"""VPN gateways: strongSwan for IPsec, FRR for BGP."""

SERVER_IMAGES: tuple[ServerImage, ...] = (DOCKER, MACHINE, POSTGRES, REDIS, VPN)
"""All of them: what `fogbank images fetch` fetches."""
