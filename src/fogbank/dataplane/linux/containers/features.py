"""What the crun of this machine was built with, for whoever asks before a container does."""

import shutil
import subprocess


def crun_features() -> frozenset[str]:
    """Read the words of ``crun --version`` such as ``+SECCOMP``; none when crun does not run."""
    program = shutil.which("crun")
    if program is None:
        return frozenset()
    try:
        shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return frozenset()
    return frozenset(word for word in shown.stdout.split() if word.startswith(("+", "-")))
