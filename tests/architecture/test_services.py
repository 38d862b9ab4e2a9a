"""The folder of an API: which modules it may have, and who imports which of them (docs/decisions/0140)."""

import ast
from pathlib import Path

import pytest

from fogbank.app.registry import APIS

SOURCE = Path(__file__).parents[2] / "src" / "fogbank"
SERVICES = SOURCE / "services"
HIGHER = ("feature", "controller", "manifest")
"""Modules of an API's folder that belong to layers above ``services``."""
FEATURE_AVOIDS = ("control", "dataplane", "frontend", "servers", "store", "paths", "app")


def modules(folder):
    return {".".join(p.relative_to(SOURCE.parent).with_suffix("").parts): p for p in folder.rglob("*.py")}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def role(module):
    """Return which of the higher modules of an API a module is (part of): None for methods and others."""
    parts = module.split(".")
    return (
        parts[3] if parts[:2] == ["fogbank", "services"] and len(parts) > 3 and parts[3] in HIGHER else None
    )


def test_the_packages_of_apis_are_those_that_are_registered():
    folders = {p.parent.name for p in SERVICES.glob("*/__init__.py")}
    assert folders == set(APIS)


@pytest.mark.parametrize("api", APIS)
def test_an_api_has_a_manifest(api):
    assert (SERVICES / api / "manifest.py").exists()


def test_only_the_registry_imports_manifests():
    users = {name for name, p in modules(SOURCE).items() for i in imports(p) if role(i) == "manifest"}
    assert users == set()  # the registry itself imports them by their names, when it is asked


def test_methods_import_neither_features_nor_controllers():
    wrong = [
        (name, imported)
        for name, path in modules(SERVICES).items()
        for imported in imports(path)
        if role(imported) and role(name) not in {"manifest", role(imported)}
    ]
    assert wrong == []


def test_a_feature_lowers_and_touches_nothing_else():
    wrong = [
        (name, imported)
        for name, path in modules(SERVICES).items()
        for imported in imports(path)
        if role(name) == "feature" and imported.startswith(tuple(f"fogbank.{a}" for a in FEATURE_AVOIDS))
    ]
    assert wrong == []
