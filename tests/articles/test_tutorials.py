"""The tutorials, run as a reader would: every command of every page, in one shell, in order."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)

pytestmark = [pytest.mark.slow(40), pytest.mark.netns]


def commands(page: Path) -> str:
    return "\n".join(BLOCK.findall(page.read_text()))


@pytest.fixture
def reader() -> Iterator[dict[str, str]]:
    """The environment of somebody with `fogbank` on PATH and nothing running."""
    home = Path(tempfile.mkdtemp(prefix="fogbank-"))
    programs = home / "bin"
    programs.mkdir()
    program = programs / "fogbank"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m fogbank.cli "$@"\n')
    program.chmod(0o755)
    own = {"XDG_STATE_HOME": str(home), "FOGBANK_PORT": "0", "SHELL": "/bin/bash"}
    environment = os.environ | own | {"PATH": f"{programs}:{os.environ['PATH']}"}
    yield environment
    subprocess.run([program, "down"], env=environment, capture_output=True, check=False)
    shutil.rmtree(home)


def test_the_first_tutorial_works_as_written(reader):
    script = commands(ROOT / "docs" / "tutorials" / "000-static-outbound-ip.md")
    done = subprocess.run(
        ["bash", "-euo", "pipefail"],
        input=script, env=reader, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    bodies = re.findall(r'"body": "([^"]*)"', done.stdout)
    assert bodies[0].startswith("198.51.100.")
    assert bodies[1] == "203.0.113.1"
    assert "203.0.113.1:" in done.stdout
    assert "prediction and packet agree" in done.stdout
    assert "timeout" in done.stdout.partition("Deleted")[2] or '"ok": false' in done.stdout
    assert "is down" in done.stdout


def run_page(name: str, reader: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail"],
        input=commands(ROOT / "docs" / "tutorials" / name), env=reader, capture_output=True, text=True,
        timeout=115, check=False, cwd=reader["XDG_STATE_HOME"],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tutorial_about_redis_works_as_written(reader):
    shown = run_page("001-redis-direct-vpc.md", reader)
    assert re.findall(r"Visitor number: \d", shown) == ["Visitor number: 1", "Visitor number: 2"]
    assert shown.count("prediction and packet agree") == 2
    assert "serverless-ipv4-" in shown


def test_the_tutorial_about_moving_works_as_written(reader):
    shown = run_page("003-move-without-downtime.md", reader)
    assert "\n100\n" in shown
    assert "prediction and packet agree" in shown


def test_the_tutorial_about_private_machines_works_as_written(reader):
    shown = run_page("002-private-machines.md", reader)
    assert "NO_EXTERNAL_ADDRESS" in shown
    assert "nat-auto-ip-" in shown
    assert "prediction and packet agree" in shown
    assert "203.0.113." in shown.rpartition("prediction and packet agree")[2]


def test_the_page_about_users_works_as_written(reader):
    script = commands(ROOT / "docs" / "howto" / "users.md")
    start = 'fogbank up --detach\neval "$(fogbank env)"\n'
    done = subprocess.run(
        ["bash", "-euo", "pipefail"],
        input=start + script, env=reader, capture_output=True, text=True, timeout=110, check=False,
        cwd=reader["XDG_STATE_HOME"],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "netcheck" in done.stdout
    assert "Service [mine] revision" in re.sub("\x1b.*?m", "", done.stderr)
