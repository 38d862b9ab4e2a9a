"""Known ways out of a container, tried from inside: run as a program there, it prints what each one met.

It needs nothing but Python with ctypes. System calls get arguments that the kernel refuses only after it has
let the caller pass, so EINVAL or EFAULT mean that the way is open, and nothing has happened. Some ways do
change what they reach (a device's mode, the kernel's settings), so run it only in a container, and in a world
with a /dev of its own.
"""

import ctypes
import errno
import functools
import json
import os
import signal
import socket
import stat
import sys

X86 = os.uname().machine == "x86_64"
NUMBERS = {
    "acct": (163, 89), "add_key": (248, 217), "bpf": (321, 280), "clock_settime": (227, 112),
    "clone": (56, 220), "clone3": (435, 435), "finit_module": (313, 273), "fsopen": (430, 430),
    "init_module": (175, 105), "io_uring_setup": (425, 425), "kcmp": (312, 272), "kexec_load": (246, 104),
    "keyctl": (250, 219), "mount": (165, 40), "mount_setattr": (442, 442), "move_mount": (429, 429),
    "open_by_handle_at": (304, 265), "open_tree": (428, 428), "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438), "pivot_root": (155, 41), "process_vm_readv": (310, 270),
    "ptrace": (101, 117), "quotactl": (179, 60), "reboot": (169, 142), "request_key": (249, 218),
    "sethostname": (170, 161), "setns": (308, 268), "settimeofday": (164, 170), "swapon": (167, 224),
    "syslog": (103, 116), "umount2": (166, 39), "unshare": (272, 97), "userfaultfd": (323, 282),
}  # fmt: skip
libc = ctypes.CDLL(None, use_errno=True)
NEW_NAMESPACES = {"mount": 0x2_0000, "user": 0x1000_0000, "net": 0x4000_0000, "pid": 0x2000_0000}
SIGCHLD = 17


def call(name, *arguments):
    """Make a system call; OSError as Python's own functions raise it."""
    ctypes.set_errno(0)
    wanted = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result = libc.syscall(ctypes.c_long(NUMBERS[name][0 if X86 else 1]), *wanted)
    if name == "clone" and result == 0:
        os._exit(0)
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return f"answered {result}"


def write(path, content=b"0"):
    descriptor = os.open(path, os.O_WRONLY)
    os.write(descriptor, content)
    return "written"


def read(path):
    with open(path, "rb") as file:  # noqa: PTH123 - the image has no pathlib
        content = file.read(64)
    if not content:
        raise OSError(errno.ENODATA, "empty")
    return content.hex()


def make_device(kind, major, minor):
    os.mknod("/tmp/device", kind | 0o600, os.makedev(major, minor))
    return "made"


def open_socket(*kind):
    return str(socket.socket(*kind))


def reach(path):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    return "connected"


def take_loopback_down():
    import fcntl
    import struct

    fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sH14x", b"lo", 0))  # SIOCSIFFLAGS
    return "down"


def enter_namespace(name):
    return call("setns", os.open(f"/proc/1/ns/{name}", 0), 0)


def own_capabilities():
    """Ask for all capabilities."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    every = (ctypes.c_uint32 * 6)(*([0xFFFFFFFF, 0xFFFFFFFF, 0] * 2))
    if libc.capset(header, every):
        raise OSError(ctypes.get_errno(), "capset")
    return "given"


def become_a_user_of_the_machine():
    os.setresuid(200_000, 200_000, 200_000)
    return "became"


WAYS = {
    # Root's keys.
    "add a key": lambda: call("add_key", b"user", b"escape", b"x", 1, -4),
    "read the user's keyring": lambda: call("keyctl", 0, -4, 0),
    "join another session keyring": lambda: call("keyctl", 1, None),
    "ask for a key": lambda: call("request_key", b"user", b"escape", None, -4),
    # Mounts and roots.
    "mount proc again": lambda: call("mount", b"proc", b"/mnt", b"proc", 0, None),
    "mount a control group (release_agent)": lambda: call("mount", b"x", b"/tmp", b"cgroup", 0, b"rdma"),
    "mount by the new calls": lambda: call("fsopen", b"proc", 0),
    "clone a mount": lambda: call("open_tree", -100, b"/", 1),
    "make a mount writable": lambda: call("mount_setattr", -100, b"/proc/sys", 0, None, 0),
    "uncover what is masked": lambda: call("umount2", b"/proc/keys", 2),
    "change the root": lambda: call("pivot_root", b"/", b"/tmp"),
    "chroot and climb": lambda: os.chroot("/tmp"),
    # Namespaces.
    **{
        f"a new {name} namespace": functools.partial(call, "unshare", flag)
        for name, flag in NEW_NAMESPACES.items()
    },
    "a child in a new user namespace": lambda: call("clone", 0x1000_0000 | SIGCHLD, 0, 0, 0, 0),
    "the same by clone3": lambda: call("clone3", None, 0),
    **{
        f"enter the {name} namespace of pid 1": functools.partial(enter_namespace, name)
        for name in ("mnt", "net", "user")
    },
    # Files of the machine.
    "open by handle (shocker)": lambda: call("open_by_handle_at", -100, None, 0),
    "overwrite the program that started us": lambda: write("/proc/1/exe"),
    "change the machine's /dev/null": lambda: os.chmod("/dev/null", 0),  # noqa: PTH101
    "a block device": lambda: make_device(stat.S_IFBLK, 254, 0),
    "the machine's memory": lambda: make_device(stat.S_IFCHR, 1, 1),
    "open /dev/mem": lambda: read("/dev/mem"),
    "open /dev/kmsg": lambda: read("/dev/kmsg"),
    "open the controlling terminal": lambda: read("/dev/tty"),
    # Settings of the kernel.
    "sysrq": lambda: write("/proc/sysrq-trigger", b"h"),
    "core_pattern": lambda: write("/proc/sys/kernel/core_pattern", b"|/escape"),
    "modprobe": lambda: write("/proc/sys/kernel/modprobe", b"/escape"),
    "binfmt_misc": lambda: write("/proc/sys/fs/binfmt_misc/register"),
    "uevent_helper": lambda: write("/sys/kernel/uevent_helper", b"/escape"),
    "kernel memory": lambda: read("/proc/kcore"),
    "the table of keys": lambda: read("/proc/keys"),
    "the table of timers": lambda: read("/proc/timer_list"),
    "release_agent": lambda: write("/sys/fs/cgroup/release_agent", b"/escape"),
    # Modules, programs in the kernel, other large parts of it.
    "load a module": lambda: call("init_module", None, 0, b""),
    "load a module from a file": lambda: call("finit_module", -1, b"", 0),
    "a bpf program": lambda: call("bpf", 5, None, 0),
    "performance counters": lambda: call("perf_event_open", None, 0, -1, -1, 0),
    "userfaultfd": lambda: call("userfaultfd", 0),
    "io_uring": lambda: call("io_uring_setup", 1, None),
    "another kernel": lambda: call("kexec_load", 0, 0, None, 0),
    # Other processes.
    "trace a process": lambda: call("ptrace", 16, 1 << 22, 0, 0),
    "read a process's memory": lambda: call("process_vm_readv", 1, None, 0, None, 0, 0),
    "take a process's descriptor": lambda: call("pidfd_getfd", -1, 0, 0),
    "compare processes": lambda: call("kcmp", 1, 1, 0, 0, 0),
    # The machine.
    "set the clock": lambda: call("clock_settime", 99, None),
    "set the time of day": lambda: call("settimeofday", None, None),
    "reboot": lambda: call("reboot", 0, 0, 0, None),
    "swap": lambda: call("swapon", b"/tmp", 0),
    "quotas": lambda: call("quotactl", 0, b"/dev/none", 0, None),
    "process accounting": lambda: call("acct", b"/tmp"),
    "the kernel's log": lambda: call("syslog", 3, None, 0),
    "the host's name": lambda: call("sethostname", b"escape", 6),
    "all capabilities": own_capabilities,
    "a user id of the machine": become_a_user_of_the_machine,
    # The network.
    "packets as they are": lambda: open_socket(socket.AF_PACKET, socket.SOCK_RAW),
    "raw ICMP": lambda: open_socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "a socket to the hypervisor": lambda: open_socket(40, socket.SOCK_STREAM),
    "the kernel's ciphers": lambda: open_socket(38, socket.SOCK_SEQPACKET),
    "take an interface down": take_loopback_down,
    "an abstract socket of the world": lambda: reach("\0fogbank-ways-out"),
}


def attempt(way):
    """Try a way in a child, which it may change; tell the errno's name, or what it found."""
    told, tell = os.pipe()
    if os.fork() == 0:
        signal.alarm(1)  # a way that waits is no refusal
        try:
            text = f"OPEN: {way()}"
        except OSError as error:
            text = errno.errorcode.get(error.errno or 0, str(error.errno))
        os.write(tell, text.encode())
        os._exit(0)
    os.close(tell)
    with os.fdopen(told, "rb") as pipe:
        text = pipe.read().decode()
    _, status = os.wait()
    return text or f"ended with {status}"


def main():
    print(json.dumps({name: attempt(way) for name, way in WAYS.items()}))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
