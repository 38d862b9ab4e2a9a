"""Habits of the source that no linter checks."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "fogbank"
MODULES = sorted(SOURCE.rglob("*.py"))
LONGEST = 500


def name(module: Path) -> str:
    return str(module.relative_to(SOURCE))


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_module_opens_with_its_story(module: Path):
    text = module.read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text)), f"{name(module)} has no docstring"


def test_no_module_is_two_ideas_in_one_room():
    long = {name(m): lines for m in MODULES if (lines := len(m.read_text().splitlines())) > LONGEST}
    assert long == {}
