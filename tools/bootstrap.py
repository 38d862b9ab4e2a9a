"""Set a checkout up: Debian packages, `.venv`, Python packages. `make` calls it; a second run is nothing.

usage: python3 tools/bootstrap.py run|test|bench

It needs only the standard library of Python 3.11 or newer. Which Python packages a purpose wants is declared
in pyproject.toml (`dependencies`, `dependency-groups`, the extra `clients`), their exact versions in
constraints.txt, the Debian packages in src/fogbank/cli/needs.py. A stamp in `.venv` says what is installed.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
sys.path.insert(0, str(ROOT / "src"))

from fogbank.cli import needs  # noqa: E402 - the package is not installed yet

GROUPS: dict[needs.Use, tuple[str, ...]] = {
    "run": (),
    "test": ("test", "lint", "generate"),
    "bench": ("test", "bench"),
}
USES: dict[needs.Use, tuple[needs.Use, ...]] = {
    "run": ("run",),
    "test": ("run", "test"),
    "bench": ("run", "test", "bench"),
}


def main(purpose: needs.Use) -> None:
    """Install what ``purpose`` needs and is not there."""
    ensure_debian_packages(purpose)
    if not (VENV / "bin" / "python").exists():
        say(f"Making .venv with {sys.executable}")
        run([sys.executable, "-m", "venv", str(VENV)])
    ensure_python_packages(purpose)


def ensure_debian_packages(purpose: needs.Use) -> None:
    """Install missing Debian packages as root; otherwise print the one command and stop."""
    missing = list(needs.missing(USES[purpose]))
    if not (VENV / "bin" / "python").exists() and importlib.util.find_spec("ensurepip") is None:
        missing.append("python3-venv")
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(
            f"This machine lacks {', '.join(missing)}. Run this, then try again:\n"
            f"  {needs.install_command(missing)}"
        )
    say(f"Installing Debian packages: {' '.join(missing)}")
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    if subprocess.run(install, env=environment, stdout=subprocess.DEVNULL, check=False).returncode:
        run(["apt-get", "update", "-qq"])
        run(install, environment)


def ensure_python_packages(purpose: needs.Use) -> None:
    """Install the package and its groups into `.venv` unless the stamp says that they are there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = "[clients]" if purpose != "run" or shutil.which("gcloud") is None else ""
    requirements = [line for group in GROUPS[purpose] for line in expand(project["dependency-groups"], group)]
    declared = [project["project"], project["build-system"], extras, requirements]
    constraints = (ROOT / "constraints.txt").read_bytes()
    digest = hashlib.sha256(json.dumps(declared, sort_keys=True).encode() + constraints).hexdigest()
    stamp = VENV / f".installed-{purpose}"
    if stamp.exists() and stamp.read_text() == digest:
        return
    started = time.monotonic()
    say("Installing Python packages into .venv")
    python = str(VENV / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--constraint", str(ROOT / "constraints.txt"), "--editable", f"{ROOT}{extras}", *requirements])
    # pip compiles what it copies, and this is not copied: where PYTHONDONTWRITEBYTECODE is set, each start
    # would compile it again. Nothing fails when that cannot be helped.
    subprocess.run([python, "-m", "compileall", "-qq", str(ROOT / "src")], check=False)
    stamp.write_text(digest)
    say(f"Ready after {time.monotonic() - started:.0f} s")


def expand(groups: dict[str, list[str | dict[str, str]]], name: str) -> list[str]:
    """List a dependency group's requirements; Debian's pip cannot (``--group`` came with pip 25.1)."""
    lines: list[str] = []
    for entry in groups[name]:
        lines += [entry] if isinstance(entry, str) else expand(groups, entry["include-group"])
    return lines


def run(command: list[str], environment: dict[str, str] | None = None) -> None:
    """Run ``command`` and stop here when it fails."""
    if code := subprocess.run(command, env=environment, check=False).returncode:
        sys.exit(f"This failed with status {code}: {' '.join(command)}")


def say(line: str) -> None:
    """Print progress for the person at the terminal."""
    print(f"[setup] {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    chosen = next((purpose for purpose in GROUPS if sys.argv[1:] == [purpose]), None)
    if chosen is None:
        sys.exit(__doc__)
    main(chosen)
