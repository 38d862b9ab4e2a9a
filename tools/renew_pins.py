"""Renew constraints.txt from pyproject.toml with uv's resolver, which `.venv` gets for it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# The exact versions that a checkout is tested with. Made by `make pins`; do not edit.\n"
GROUPS = ("test", "lint", "generate", "protos", "bench")


def main() -> None:
    """Resolve every group and the extra together and write the pins, without any index address."""
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "uv"], check=True)
    compile_ = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--upgrade", "--quiet"]
    options = ["--extra", "clients", "--no-emit-index-url", "--no-header", "--no-annotate"]
    groups = [part for group in GROUPS for part in ("--group", group)]
    resolved = subprocess.run(
        [*compile_, *options, *groups], cwd=ROOT, check=True, capture_output=True, text=True
    )
    (ROOT / "constraints.txt").write_text(HEADER + resolved.stdout)


if __name__ == "__main__":
    main()
