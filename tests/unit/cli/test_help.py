"""Help is complete, and costs nothing."""

import subprocess
import sys

import click
import pytest

from fogbank.cli.entry import COMMANDS, root
from fogbank.cli.exits import MEANINGS, Exit

HEAVY = ("rich", "asyncio", "subprocess", "ctypes", "http.client", "uvicorn", "cryptography", "immutables")


def every_command(path: tuple[str, ...] = (), command: click.Command = root) -> list[tuple[str, ...]]:
    found = [path]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            found += every_command((*path, name), below)
    return found


@pytest.mark.parametrize("path", every_command(), ids=" ".join)
def test_every_command_has_help_with_examples(path, fogbank):
    done = fogbank(*path, "--help")
    assert done.status == 0
    assert "Usage: fogbank" in done.out
    if path != ("version",):
        assert "Examples:" in done.out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_of_commands_says_what_the_command_says(name):
    command = root.get_command(click.Context(root), name)
    assert command is not None
    assert (command.help or "").split("\n\n")[0].replace("\n", " ") == COMMANDS[name].help
    assert command.name == name


@pytest.mark.parametrize("path", [p for p in every_command() if p], ids=" ".join)
def test_every_list_and_show_speaks_json(path, fogbank):
    if path[-1] in {"list", "show", "status", "log", "logs", "settings", "doctor", "trace", "plan", "env"}:
        assert "--format" in fogbank(*path, "--help").out


def test_help_documents_every_exit_status(fogbank):
    text = fogbank("--help").out
    assert set(MEANINGS) == set(Exit)
    for code, meaning in MEANINGS.items():
        assert f"{code.value:<4} {meaning}" in text


def test_help_imports_nothing_heavy():
    code = "import sys; from fogbank.cli.entry import run\ntry: run(['--help'])\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(shell, fogbank):
    done = fogbank("completion", shell)
    assert done.status == 0
    assert "_FOGBANK_COMPLETE" in done.out


def test_a_wrong_command_line_ends_with_2(fogbank):
    assert fogbank("frobnicate").status == Exit.USAGE
    assert fogbank("trace").status == Exit.USAGE
    assert fogbank("clock", "advance", "soon").status == Exit.USAGE


def test_version_is_the_packages(fogbank):
    assert fogbank("version").out.startswith("fogbank 0.")


def test_the_version_is_an_option_and_a_command(fogbank):
    done = fogbank("--version")
    assert done.status == 0
    assert done.out == fogbank("version").out
    assert done.out.startswith("fogbank ")
