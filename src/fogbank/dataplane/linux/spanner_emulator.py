"""Google's Spanner emulator: where the machine has it, and its process in the region's world.

It comes with gcloud (`gcloud components install cloud-spanner-emulator`). It keeps everything in memory, and
like every process of the world it ends with the region.
"""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from fogbank.errors import DriverError

_GATEWAY, _EMULATOR = "gateway_main", "emulator_main"
_START_SECONDS = 20.0
_PAUSE_SECONDS = 0.02


class SpannerEmulator:
    """The emulator's two programs, one for gRPC and before it one for HTTP; from one thread at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> None:
        """Start it unless it runs; DriverError when it is not on this machine or does not come up. Blocks."""
        if self._process is not None and self._process.poll() is None:
            return
        folder = emulator_folder()
        if folder is None:
            raise DriverError(
                "This machine does not have Google's Spanner emulator, which answers for Spanner here. "
                "Install it: gcloud components install cloud-spanner-emulator"
            )
        grpc_port, http_port = _free_port(), _free_port()
        self._process = subprocess.Popen(
            [
                *(str(folder / _GATEWAY), "-hostname", "127.0.0.1", "-grpc_port", str(grpc_port)),
                *("-http_port", str(http_port), "-grpc_binary", str(folder / _EMULATOR)),
                *("-copy_emulator_stderr=false",),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.defpath},
            start_new_session=True,
        )
        self.url = f"http://127.0.0.1:{http_port}"
        _await_port(grpc_port, self._process)
        _await_port(http_port, self._process)


def emulator_folder() -> Path | None:
    """Find the emulator in gcloud's installation; None when there is none."""
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        return None
    above = Path(gcloud).resolve().parent.parent
    for root in (above, above / "lib" / "google-cloud-sdk", Path("/usr/lib/google-cloud-sdk")):
        folder = root / "bin" / "cloud_spanner_emulator"
        if (folder / _GATEWAY).exists() and (folder / _EMULATOR).exists():
            return folder
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DriverError(f"Google's Spanner emulator ended at once with status {process.returncode}.")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(_PAUSE_SECONDS)
        else:
            return
    raise DriverError(f"Google's Spanner emulator did not listen within {_START_SECONDS:.0f} s.")
