"""Set-up: every declared package has a pin, the menu's targets exist, CI runs what a person runs."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from tools import bootstrap, renew_pins

from fogbank.cli.needs import NEEDS, install_command, missing

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINS = (ROOT / "constraints.txt").read_text()


def requirement_name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9_.-]+", requirement)
    assert found
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def declared() -> set[str]:
    lines = [*PROJECT["project"]["dependencies"]]
    for extra in PROJECT["project"]["optional-dependencies"].values():
        lines += extra
    for group in PROJECT["dependency-groups"]:
        lines += bootstrap.expand(PROJECT["dependency-groups"], group)
    return {requirement_name(line) for line in lines}


def test_every_declared_package_has_one_pin():
    pinned = [line.partition("==")[0] for line in PINS.splitlines() if "==" in line]
    assert declared() - set(pinned) == set()
    assert len(pinned) == len(set(pinned))


def test_pins_hold_no_address():
    assert "://" not in PINS
    assert "--" not in PINS.replace("-- ", "")


def test_pins_are_renewed_for_every_group():
    assert set(renew_pins.GROUPS) == set(PROJECT["dependency-groups"])


def test_every_purpose_of_set_up_is_declared():
    assert set(bootstrap.GROUPS) == set(bootstrap.USES)
    assert {group for groups in bootstrap.GROUPS.values() for group in groups} <= set(
        PROJECT["dependency-groups"]
    )


def test_a_group_may_include_another():
    groups: dict[str, list[str | dict[str, str]]] = {"a": ["x"], "b": ["y", {"include-group": "a"}]}
    assert bootstrap.expand(groups, "b") == ["y", "x"]


def test_ci_runs_what_a_person_runs():
    script = (ROOT / ".ci" / "run").read_text()
    assert script.rstrip().endswith("exec make test")


def test_the_menu_has_what_the_docs_promise():
    targets = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    promised = {"quick", "check", "test", "netns", "articles", "demo", "bench", "golden", "generate", "docs"}
    assert promised <= targets


def test_a_debian_package_is_listed_once_and_this_machine_has_those_for_tests():
    assert len({need.package for need in NEEDS}) == len(NEEDS)
    assert missing(("run", "test")) == ()
    assert install_command(["crun"]).endswith("apt-get install -y --no-install-recommends crun")


def test_the_wheel_carries_the_licence():
    assert PROJECT["project"]["license-files"] == ["LICENSE"]
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def imported(path: Path) -> set[str]:
    """List the top-level packages that a module imports, wherever it does so."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.partition(".")[0] for name in names}


def test_what_the_package_imports_is_what_it_declares():
    """A package that only the tests install would be missing where Fogbank alone is installed."""
    source = ROOT / "src" / "fogbank"
    used = {name for path in source.rglob("*.py") if path.name != "testing.py" for name in imported(path)}
    foreign = used - set(sys.stdlib_module_names) - {"fogbank"}
    providers = {name: set(packages_distributions()[name]) for name in foreign}
    lines = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["clients"]]
    known = {requirement_name(line) for line in lines}
    assert {
        name for name, found in providers.items() if known.isdisjoint(map(requirement_name, found))
    } == set()
