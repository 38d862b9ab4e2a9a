"""What a virtual machine has beside Debian's packages: init, guest agent, accounts, settings.

The files lie in ``root`` as a machine sees them. They are a layer of their own below a machine's disk, and
above the packages: so a newer Fogbank brings its own to machines whose packages were fetched long ago, unless
the machine's user has changed a file.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

FILES = Path(__file__).parent / "root"
INIT = "/usr/sbin/init"

_PROGRAMS = ("usr/sbin/", "usr/libexec/")
_MODES: Mapping[str, int] = {
    "etc/shadow": 0o640,
    "etc/gshadow": 0o640,
    "etc/sudoers.d/google_sudoers": 0o440,
}
_POWER = "../libexec/fogbank/power"
_NOT_HERE = "../libexec/fogbank/not-here"
LINKS: Mapping[str, str] = {
    **{f"usr/sbin/{name}": _POWER for name in ("halt", "poweroff", "reboot", "shutdown")},
    **{f"usr/bin/{name}": _NOT_HERE for name in ("apt", "apt-cache", "apt-get", "journalctl", "systemctl")},
    "usr/sbin/service": _NOT_HERE,
    # What update-alternatives would choose: no package's script runs.
    **{
        f"usr/sbin/{family}{verb}": "xtables-nft-multi"
        for family in ("iptables", "ip6tables")
        for verb in ("", "-save", "-restore")
    },
    "usr/bin/awk": "mawk",
    "usr/bin/dig": "kdig",
    "usr/bin/host": "khost",
    "usr/bin/nc": "nc.openbsd",
    "usr/bin/pager": "less",
    "usr/bin/traceroute": "traceroute.db",
    "usr/bin/which": "which.debianutils",
    **{f"usr/bin/{name}": "busybox" for name in ("nslookup", "telnet", "vi", "wget")},
}
"""Symbolic links, by path."""


def write_layer(folder: Path, owner: int) -> None:
    """Write the layer into ``folder``, which is made; ``owner`` is the user id that machines know as root."""
    for path, content, mode in files():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(mode)
    for path, aim in LINKS.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(aim)
    for above, folders, names in os.walk(folder):
        os.chown(above, owner, owner)
        Path(above).chmod(0o755)
        for name in (*folders, *names):
            os.chown(Path(above, name), owner, owner, follow_symlinks=False)


def files() -> Iterator[tuple[str, bytes, int]]:
    """List the files: path, content, permission bits."""
    for each in sorted(FILES.rglob("*")):
        if each.is_file():
            path = str(each.relative_to(FILES))
            usual = 0o755 if path.startswith(_PROGRAMS) else 0o644
            yield path, each.read_bytes(), _MODES.get(path, usual)
