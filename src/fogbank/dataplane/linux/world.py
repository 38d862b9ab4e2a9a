"""The world: private namespaces in which a region lives, so that the host never notices it.

:func:`launch` runs on the host. It opens the two listeners there (a socket belongs to the network namespace
it was made in, for ever), then starts ``unshare`` with them inherited. :func:`enter` is the first thing that
the program does inside.

The surprising fact: nobody cleans up. The program is in a process-id namespace whose first process dies with
any of ours, and with that one the kernel ends every process, mount, interface and rule in there.
"""

import contextlib
import errno
import json
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fogbank.dataplane.linux import kernel
from fogbank.dataplane.linux.net.namespaces import raise_loopback
from fogbank.dataplane.linux.private_folders import cover, own_devices
from fogbank.dataplane.linux.subordinate_ids import check_subordinate_ids
from fogbank.errors import OperatorError
from fogbank.unix_sockets import address_of

_HANDOVER = "FOGBANK_HANDOVER"
"""The environment variable that carries the descriptors' numbers into the world."""

START_SECONDS = 20.0
_KILL_SECONDS = 5.0
"""How long the end of a killed world is waited for: the kernel takes hundreds of namespaces apart."""

CONTAINERS = Path("/run/fogbank/containers")
"""Where containers' bundles and writable files are: in the world's own memory, open to pass through."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """The two doors of a region on the host, open and listening."""

    proxy: socket.socket
    operator: socket.socket

    @property
    def port(self) -> int:
        """The proxy's port: the one that the kernel chose when 0 was asked for."""
        return int(self.proxy.getsockname()[1])

    def close(self) -> None:
        """Close this process's copies."""
        self.proxy.close()
        self.operator.close()


class PortTakenError(OperatorError):
    """Another program has the port."""


def open_listeners(port: int, operator: Path) -> Listeners:
    """Open 127.0.0.1:``port`` and the Unix socket ``operator`` (0600); OperatorError names the remedy."""
    proxy = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    proxy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        proxy.bind(("127.0.0.1", port))
        proxy.listen(1024)
    except OSError as error:
        proxy.close()
        kind = PortTakenError if error.errno == errno.EADDRINUSE else OperatorError
        raise kind(
            f"port {port} of 127.0.0.1 cannot be opened ({error.strerror}). Choose another with --port, or "
            "--port 0 for a free one; `fogbank list` shows your regions."
        ) from error
    try:
        door = _open_operator(operator)
    except BaseException:
        proxy.close()
        raise
    return Listeners(proxy, door)


def _open_operator(path: Path) -> socket.socket:
    if _answers(path):
        raise OperatorError(f"a region already answers on {path}. Use it, or end it with `fogbank down`.")
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        before = os.umask(0o177)
        try:
            with address_of(path) as address:
                door.bind(address)
        finally:
            os.umask(before)
        door.listen(128)
    except OSError as error:
        door.close()
        raise OperatorError(
            f"the operator's socket {path} cannot be opened ({error.strerror}). "
            "Set XDG_STATE_HOME to a folder that you can write to."
        ) from error
    return door


def _answers(path: Path) -> bool:
    if not path.is_socket():
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, address_of(path) as address:
        return probe.connect_ex(address) == 0


@dataclass(slots=True)
class Launched:
    """A world that was started. ``pid`` is the process on the host whose end ends it all."""

    process: subprocess.Popen[bytes]
    port: int
    answer: Mapping[str, object]

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait(self) -> int:
        """Wait until the world has ended and give its exit status."""
        return self.process.wait()

    def stop(self, grace: float = 10.0) -> None:
        """Ask the program to end; after ``grace`` seconds the kernel ends it."""
        stop(self.pid, grace)
        self.process.wait()


def launch(
    command: Sequence[str],
    *,
    listeners: Listeners,
    log: Path | None = None,
    detach: bool = False,
    environment: Mapping[str, str] | None = None,
    start_seconds: float = START_SECONDS,
    held: Sequence[int] = (),
    started: Callable[[int], None] = lambda _: None,
) -> Launched:
    """Start ``command`` in a world of its own and wait until it calls :meth:`Entered.ready`.

    ``held`` are descriptors that the world keeps open as long as it lives: a lock. ``started`` is called with
    the number of its process before it can be ready. When it raises, or anything else here does, the world
    ends: nothing runs of which nobody knows.

    ``detach`` lets it outlive this process, its output going to ``log``; otherwise it dies with the calling
    thread and prints where this process prints (or to ``log``). The listeners of this process are closed.
    """
    ready, tell = os.pipe()
    handover = {"proxy": listeners.proxy.fileno(), "operator": listeners.operator.fileno(), "ready": tell}
    inherited = (*handover.values(), *held)
    port = listeners.port
    output = None
    if log is not None:
        log.touch(mode=0o600)
        output = log.open("ab", buffering=0)
    try:
        process = subprocess.Popen(
            [*unshare_command(), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={
                **(os.environ if environment is None else environment),
                _HANDOVER: json.dumps({**handover, "held": held}),
            },
            pass_fds=inherited,
            start_new_session=detach,
            preexec_fn=None if detach else kernel.die_with_parent,  # noqa: PLW1509  # before any thread
        )
    except OSError:
        os.close(ready)
        raise
    finally:
        os.close(tell)
        listeners.close()
        if output is not None:
            output.close()
    try:
        started(process.pid)
        answer = _await_ready(process, ready, log, start_seconds)
    except BaseException:
        stop(process.pid, 0.0)
        process.wait()
        raise
    return Launched(process, port, answer)


def _await_ready(
    process: subprocess.Popen[bytes], ready: int, log: Path | None, seconds: float
) -> Mapping[str, object]:
    """Read the line of JSON that the program writes when it is ready; the pipe ends only with the world."""
    heard = b""
    deadline = time.monotonic() + seconds
    with os.fdopen(ready, "rb", 0) as pipe:
        os.set_blocking(pipe.fileno(), False)
        while time.monotonic() < deadline:
            piece = _read_some(pipe.fileno(), deadline)
            heard += piece or b""
            if piece == b"" or heard.endswith(b"\n"):
                break
    if heard.endswith(b"\n"):
        answer: Mapping[str, object] = json.loads(heard)
        if why := answer.get("refused"):
            raise OperatorError(f"the region cannot start: {why}. {_last_words(log)}")
        return answer
    late = process.poll() is None and time.monotonic() >= deadline
    stop(process.pid, 0.0)
    status = process.wait()
    why = (
        f"was not ready after {seconds:.0f} s" if late else f"ended with status {status} before it was ready"
    )
    raise OperatorError(f"the region {why}. {_last_words(log)}`fogbank doctor` checks this machine.")


def _read_some(descriptor: int, deadline: float) -> bytes | None:
    """Read from the pipe, waiting until ``deadline``: b"" is its end, None that nothing came."""
    if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
        return None
    return os.read(descriptor, 65536)


def _last_words(log: Path | None) -> str:
    if log is None or not log.exists():
        return ""
    lines = log.read_text(errors="replace").strip().splitlines()[-8:]
    return "Its last words:\n  " + "\n  ".join(lines) + "\n" if lines else f"Its log {log} is empty. "


def unshare_command() -> list[str]:
    """Return the command line that makes the namespaces; an ordinary user also gets a user namespace."""
    program = shutil.which("unshare")
    if program is None:
        raise OperatorError("the program unshare is missing. Install it: apt-get install util-linux")
    command = [
        program,
        "--net",
        "--mount",
        "--pid",
        "--ipc",
        "--uts",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]
    if os.geteuid() == 0:
        return command
    check_subordinate_ids()
    return [*command, "--user", "--map-root-user", "--map-auto"]


def stop(pid: int, grace: float = 10.0) -> None:
    """End the world whose host process is ``pid``: ask its program, and after ``grace`` seconds kill."""
    if grace > 0:
        for child in _children(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline:
            if not _alive(pid):
                return
            time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + _KILL_SECONDS
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


@dataclass(slots=True)
class Entered:
    """What the program has once it is inside: the doors that were opened on the host."""

    proxy: socket.socket
    operator: socket.socket
    _ready: int

    def ready(self, answer: Mapping[str, object]) -> None:
        """Report to :func:`launch` that the region serves; ``answer`` is handed to its caller.

        BrokenPipeError when nobody waits any more: who started it was killed.
        """
        os.write(self._ready, json.dumps(answer).encode() + b"\n")
        os.close(self._ready)
        self._ready = -1

    def refuse(self, why: str) -> None:
        """Report to :func:`launch`, if it waits, why there is no region: a full disk holds no log."""
        if self._ready >= 0:
            with contextlib.suppress(BrokenPipeError):
                self.ready({"refused": why})


def enter(keep: Iterable[Path] = ()) -> Entered:
    """Take the world over: call this first, before threads and heavy imports.

    The program finds its own code, the programs on PATH and the folders ``keep`` where they were, also below
    /tmp.

    Returns in a child: the first process of the world stays behind as its init, which collects orphans,
    passes SIGTERM and SIGINT on, and takes the world down when the program ends.
    """
    handover = json.loads(os.environ.pop(_HANDOVER))
    kernel.die_with_parent()
    prepare()
    cover((*keep, *map(Path, (*sys.path, sys.prefix, sys.base_prefix, *os.get_exec_path()))))
    _become_child_of_init(handover["ready"])
    for descriptor in (handover["ready"], *handover["held"]):
        os.set_inheritable(descriptor, False)
    return Entered(
        socket.socket(fileno=_private(handover["proxy"])),
        socket.socket(fileno=_private(handover["operator"])),
        handover["ready"],
    )


def _private(descriptor: int) -> int:
    os.set_inheritable(descriptor, False)
    return int(descriptor)


def prepare() -> None:
    """Set the world's own namespaces up: loopback, a private /run and /dev, no host control groups."""
    raise_loopback()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # every namespace keeps a few descriptors open
    kernel.mount("fogbank", "/run", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=0755,size=64m")
    own_devices()
    _hide_control_groups()
    socket.sethostname("fogbank")


def _hide_control_groups() -> None:
    """Put an empty folder, or a bare cgroup2, where crun looks: it refuses the hybrid layout.

    The host's groups could not be used anyway: a group that we made there would outlive us.
    """
    root = "/sys/fs/cgroup"
    if not Path(root).is_dir():
        return
    kernel.mount("fogbank", root, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC, "mode=0755")
    with contextlib.suppress(OSError):  # not allowed in a user namespace; crun then finds no groups at all
        kernel.mount("none", root, "cgroup2")


def _become_child_of_init(ready: int) -> None:
    child = os.fork()
    if child == 0:
        kernel.die_with_parent()
        return
    os.close(ready)

    def pass_on(number: int, _: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, pass_on)
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == child:
            sys.stdout.flush()
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
