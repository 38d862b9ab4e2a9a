"""A new API is a folder, its tests and one line."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tools import new_service
from tools.generate_discovery import documents

from fogbank.app import registry

REGISTRY = '''"""APIs."""

APIS: tuple[str, ...] = (
    "compute",
    "run",
)
'''


@pytest.fixture
def checkout(tmp_path):
    path = tmp_path / new_service.REGISTRY
    path.parent.mkdir(parents=True)
    path.write_text(REGISTRY)
    return tmp_path


def test_a_new_api_is_a_folder_its_tests_and_a_line(checkout):
    new_service.create(checkout, "redis", documents())
    assert (checkout / new_service.REGISTRY).read_text() == REGISTRY.replace(
        '    "run",', '    "redis",\n    "run",'
    )
    made = {str(p.relative_to(checkout)) for p in checkout.rglob("*.py")} - {str(new_service.REGISTRY)}
    assert made == {
        "src/fogbank/services/redis/__init__.py",
        "src/fogbank/services/redis/controller.py",
        "src/fogbank/services/redis/feature.py",
        "src/fogbank/services/redis/manifest.py",
        "tests/unit/services/redis/test_redis.py",
    }
    for path in made:
        ast.parse((checkout / path).read_text())


def test_what_is_made_keeps_the_style_of_the_source(checkout):
    new_service.create(checkout, "redis", documents())
    ruff = Path(sys.executable).with_name("ruff")
    settings = ["--no-cache", "--config", str(new_service.ROOT / "pyproject.toml")]
    ours = 'lint.isort={known-first-party=["fogbank"],known-third-party=["tests"]}'  # only one API is there
    for words in (["check", "--config", ours], ["format", "--check"]):
        done = subprocess.run(
            [ruff, *words, *settings, "."], cwd=checkout, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


def test_title_and_versions_come_from_googles_description(checkout):
    new_service.create(checkout, "redis", documents())
    text = (checkout / "src/fogbank/services/redis/__init__.py").read_text()
    described = json.loads((documents() / "redis.v1.json").read_text())
    assert f'title="{described["title"]}"' in text
    assert 'versions=("v1",)' in text
    assert 'permissions=operation_permissions("redis", "operations")' in text


def test_an_api_that_google_does_not_describe_may_begin_too(checkout):
    new_service.create(checkout, "toybox", documents())
    text = (checkout / "src/fogbank/services/toybox/__init__.py").read_text()
    assert "versions=()" in text
    assert "permissions" not in text


def test_an_api_with_older_errors_keeps_them(checkout):
    new_service.create(checkout, "storage", documents())
    assert 'errors="reasons"' in (checkout / "src/fogbank/services/storage/__init__.py").read_text()


@pytest.mark.parametrize("name", ["", "Redis", "redis.googleapis.com", "../x", "taken"])
def test_what_is_no_name_or_taken_is_refused(checkout, name):
    (checkout / "src/fogbank/services/taken").mkdir(parents=True)
    with pytest.raises(SystemExit):
        new_service.create(checkout, name, documents())


def test_the_registrys_own_text_can_be_added_to():
    changed = new_service.register(Path(registry.__file__).read_text(), "aaa")
    assert changed.count('    "aaa",\n    "artifactregistry",\n') == 1
