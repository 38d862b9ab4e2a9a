"""Virtual machines under crun: Debian's programs, an init, a disk that is kept, a network of their own."""

import http.server
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.attacks.containers import WAYS_OUT, is_open
from tests.docker_client import cache
from tests.private_world import Lab
from tests.waiting import wait_until

from fogbank.dataplane.driver import Event, WorkloadExited, WorkloadWrote
from fogbank.dataplane.linux import world
from fogbank.dataplane.linux.containers.processes import processes_below
from fogbank.dataplane.linux.containers.runtime import CrunRuntime
from fogbank.dataplane.linux.data_folders import DataFolders
from fogbank.dataplane.linux.images.debian_roots import DebianRoots
from fogbank.dataplane.linux.images.store import ImageStore
from fogbank.dataplane.linux.images.unpacked import UnpackedImages
from fogbank.dataplane.linux.machines.layer import INIT
from fogbank.dataplane.linux.net.namespaces import NetworkNamespaces
from fogbank.network.elements import Machine
from fogbank.network.topology import NetnsName, Workload
from fogbank.resources.server_images import MACHINE

pytestmark = pytest.mark.netns

SPACE = NetnsName("instance/vm-1")
DISK = "vm-disk-1"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> UnpackedImages:
    """The root of machines, unpacked."""
    folder = tmp_path_factory.mktemp("store")
    DebianRoots(cache()).fetch(MACHINE, print)
    store = ImageStore(folder / "registry", lambda _: None)
    digest = DebianRoots(cache()).adopt(MACHINE, store)
    images = UnpackedImages(store, folder / "cache")
    images.get(digest)
    return images


class MachineRoom:
    """One namespace, the machine in it, and a metadata server for it."""

    def __init__(self, folder: Path, images: UnpackedImages) -> None:
        self.events: list[Event] = []
        self.digest = images.registry.resolve(MACHINE.repository)
        self.namespaces = NetworkNamespaces(pool_size=0)
        self.data = DataFolders(folder / "data", world.CONTAINERS / "data")
        trusted = folder / "bundle.pem"
        trusted.write_text("the region's certificates")
        self.containers = CrunRuntime(
            world.CONTAINERS,
            images,
            trusted,
            namespaces=self.namespaces,
            report=self.events.append,
            data=self.data,
        )
        self.containers.warm()
        self.namespaces.create(SPACE, forwards=False, delegated=True)
        self.metadata = {
            "instance/hostname": "web.asia-northeast1-a.c.demo.internal",
            "instance/network-interfaces/0/ip": "10.0.0.2",
            "instance/zone": "projects/1/zones/asia-northeast1-a",
            "project/project-id": "demo",
        }
        self.put: dict[str, str] = {}
        self._serve_metadata()

    def _serve_metadata(self) -> None:
        with self.namespaces.inside(SPACE):
            subprocess.run(["ip", "address", "add", "169.254.169.254/32", "dev", "lo"], check=True)
            listening = socket.create_server(("169.254.169.254", 80))
        room = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                value = room.metadata.get(self.path.removeprefix("/computeMetadata/v1/"))
                content = (value or "").encode()
                self.send_response(404 if value is None else 200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False)
        server.socket.close()
        server.socket = listening
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def start(self, disk: str = DISK, **fields) -> None:
        """Start the machine."""
        machine = Machine(disk, "web")
        self.containers.start(
            Workload("vm-1", SPACE, self.digest, 0, command=(INIT,), machine=machine, **fields)
        )

    def first_process(self) -> int:
        """Return the number of the machine's init, as this process sees it."""
        [found] = [
            int(each)
            for pid in Path("/proc").iterdir()
            if pid.name.isdecimal() and read(pid / "cmdline").startswith(f"/bin/sh\0{INIT}")
            for each in [pid.name]
        ]
        return found

    def stop(self) -> int:
        """Stop it as the power button does; return its exit status."""
        self.events.clear()
        self.containers.stop("vm-1")
        return self.exit_status()

    def exit_status(self) -> int:
        wait_until(self.exits)
        return self.exits()[0]

    def exits(self) -> list[int]:
        return [each.status for each in self.events if isinstance(each, WorkloadExited)]

    def serial(self) -> list[str]:
        return [each.line for each in self.events if isinstance(each, WorkloadWrote)]

    def script(self, text: str, within: float = 30.0, **fields) -> list[str]:
        """Boot the machine with a startup script; return what it wrote, once it has ended."""
        prefix = "google_metadata_script_runner: startup-script"
        self.metadata["instance/attributes/startup-script"] = text
        self.start(**fields)
        wait_until(lambda: any("Finished running startup" in each for each in self.serial()), within)
        return [each.removeprefix(f"{prefix}: ") for each in self.serial() if each.startswith(f"{prefix}: ")]


def read(path: Path) -> str:
    """Read a file of a process that may just have ended."""
    try:
        return path.read_text()
    except OSError:
        return ""


@contextmanager
def setup(folder: Path, images: UnpackedImages) -> Iterator[MachineRoom]:
    made = MachineRoom(folder, images)
    try:
        yield made
    finally:
        made.containers.close()


def test_a_machine_boots_debian_and_does_what_its_metadata_says(lab: Lab, tmp_path, images) -> None:
    with setup(tmp_path, images) as here:
        here.metadata["instance/attributes/ssh-keys"] = "ada:ssh-ed25519 AAAA ada@home"
        told = here.script(
            "#!/bin/sh\n"
            "hostname; hostname -f; getent hosts metadata.google.internal; sudo -u ada sudo id -un\n"
            "tail -1 ~ada/.ssh/authorized_keys; python3 -c 'import http.server; print(6 * 7)'\n"
            "systemctl status; echo $?; ssh-keyscan -t ed25519 127.0.0.1 2>/dev/null | wc -l\n"
        )
        assert told == [
            "web",
            "web.asia-northeast1-a.c.demo.internal",
            "169.254.169.254 metadata.google.internal",
            "root",
            "ssh-ed25519 AAAA ada@home",
            "42",
            "systemctl: this machine runs a small init of its own, not systemd",
            "1",
            "1",
        ]
        assert here.serial()[0] == "Debian GNU/Linux 12 web ttyS0"
        assert "google_metadata_script_runner: startup-script exit status 0" in here.serial()
        here.metadata["instance/attributes/shutdown-script"] = "echo so long"
        assert here.stop() == 0
        assert "google_metadata_script_runner: shutdown-script: so long" in here.serial()


def test_a_machines_root_has_power_over_its_own_network_and_no_other(lab: Lab, tmp_path, images) -> None:
    with setup(tmp_path, images) as here:
        told = here.script(
            "iptables -t nat -A POSTROUTING -o lo -j MASQUERADE && iptables -t nat -S POSTROUTING | tail -1\n"
            "ip address add 10.9.9.9/32 dev lo && ping -c1 -W1 10.9.9.9 > /dev/null && echo answered\n"
            "echo 1 > /proc/sys/net/ipv4/ip_forward; cat /proc/sys/net/ipv4/ip_forward\n"
            "echo 1 2>/dev/null > /proc/sys/kernel/pid_max || echo no\n"
            "timeout 20 tcpdump -i lo -c1 > /dev/null 2>&1 &\n"
            "while kill -0 $! 2>/dev/null; do ping -c1 10.9.9.9 > /dev/null; done; wait $! && echo captured\n"
        )
        assert told == ["-A POSTROUTING -o lo -j MASQUERADE", "answered", "1", "no", "captured"]
        with here.namespaces.inside(SPACE):
            assert Path("/proc/thread-self/net/route").exists()
            assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "1\n"
        assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "0\n"


def test_the_only_ways_out_that_a_machine_has_end_in_its_own_network_and_disk(
    lab: Lab, tmp_path, images
) -> None:
    with setup(tmp_path, images) as here, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0fogbank-ways-out")
        abstract.listen()
        [printed] = here.script(f"python3 - <<'THE END'\n{WAYS_OUT.read_text()}\nTHE END\n")
        met = json.loads(printed)
        assert len(met) >= 60
        assert {name for name, text in met.items() if is_open(name, text)} == {
            "chroot and climb",
            "packets as they are",
            "raw ICMP",
            "take an interface down",
        }


def test_a_disk_outlives_its_machine_however_that_ends(lab: Lab, tmp_path, images) -> None:
    with setup(tmp_path, images) as here:
        here.script("rm /etc/issue; mkdir -p /srv/kept; echo one > /srv/kept/file; echo x > /run/lost")
        assert here.stop() == 0
        here.events.clear()
        told = here.script(
            "cat /srv/kept/file; ls /etc/issue /run/lost 2>&1 | wc -l; echo two > /srv/kept/file"
        )
        assert told == ["one", "2"]
        keys = "cat /etc/ssh/ssh_host_ed25519_key.pub"
        os.kill(here.first_process(), 9)
        assert here.exit_status() == -9
        here.events.clear()
        told = here.script(f"cat /srv/kept/file; {keys}")
        assert told[0] == "two"
        assert here.stop() == 0
        here.events.clear()
        assert here.script(keys) == told[1:]
        here.containers.stop("vm-1")
        wait_until(here.exits)
        here.events.clear()
        here.metadata["instance/attributes/startup-script"] = keys
        here.start(disk="vm-disk-2")
        wait_until(lambda: any("Finished running startup" in each for each in here.serial()))
        assert told[1] not in "".join(here.serial()), "a new disk has new host keys"


def test_a_machine_turns_itself_off_or_starts_again(lab: Lab, tmp_path, images) -> None:
    with setup(tmp_path, images) as here:
        for command, status in (("poweroff", 0), ("reboot", 64), ("shutdown -r now", 64)):
            here.events.clear()
            here.metadata["instance/attributes/startup-script"] = command
            here.start()
            assert here.exit_status() == status, command


def test_keys_follow_the_metadata_of_a_running_machine(lab: Lab, tmp_path, images) -> None:
    with setup(tmp_path, images) as here:
        here.script("true")
        here.metadata["instance/attributes/ssh-keys"] = "eve:ssh-ed25519 BBBB eve@home"
        here.metadata["project/attributes/ssh-keys"] = (
            "bob:ssh-ed25519 CCCC bob\n"
            'old:ssh-rsa DDDD google-ssh {"userName":"old","expireOn":"2020-01-01T00:00:00+0000"}'
        )
        here.containers.tell("vm-1", "changed")
        home = Path(f"/proc/{here.first_process()}/root/home")
        wait_until(lambda: all((home / each / ".ssh/authorized_keys").exists() for each in ("bob", "eve")))
        assert "BBBB" in (home / "eve/.ssh/authorized_keys").read_text()
        assert not (home / "old").exists()
        here.metadata["instance/attributes/block-project-ssh-keys"] = "TRUE"
        here.containers.tell("vm-1", "changed")
        wait_until(lambda: "CCCC" not in (home / "bob/.ssh/authorized_keys").read_text())
        assert "BBBB" in (home / "eve/.ssh/authorized_keys").read_text()


def test_a_frozen_machine_does_nothing_until_it_goes_on(lab: Lab, tmp_path, images) -> None:
    with setup(tmp_path, images) as here:
        here.script("(while :; do echo tick > /dev/null; done) > /dev/null 2>&1 &")
        first = here.first_process()
        here.containers.tell("vm-1", "freeze")
        below = set(processes_below(first))
        assert len(below) >= 3
        wait_until(lambda: {state_of(each) for each in below} <= {"T", "Z"})
        here.containers.tell("vm-1", "thaw")
        wait_until(lambda: "T" not in {state_of(each) for each in below})
        assert here.stop() == 0


def test_a_machine_without_memory_loses_its_largest_process_and_goes_on(lab: Lab, tmp_path, images) -> None:
    with setup(tmp_path, images) as here:
        told = here.script(
            "python3 -c 'x = bytearray(200 << 20); input()' < /dev/zero\necho $?", memory_limit=64 << 20
        )
        assert told[-1] == "137"
        assert "Out of memory: Killed process (python3)" in here.serial()
        assert here.exits() == []


def state_of(process: int) -> str:
    """Return the state of a process; of one that has ended, that of a zombie."""
    return (read(Path(f"/proc/{process}/stat")).rpartition(")")[2].split() or ["Z"])[0]
