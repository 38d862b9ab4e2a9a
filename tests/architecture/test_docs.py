"""The docs are held to the code: paths exist, generated pages are current, the two commands are named."""

import re
from pathlib import Path

import pytest
from tools import generate_docs

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "changes").glob("*.md")],
)
TOP = ("src/", "tests/", "docs/", "tools/", "bench/", "changes/", ".ci/")
CODE = re.compile(r"`([\w./*-]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def exists(path: str) -> bool:
    return any(ROOT.glob(path)) if "*" in path else (ROOT / path).exists()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_path_that_a_page_names_exists(page: Path):
    named = {path for path in CODE.findall(page.read_text()) if path.startswith(TOP)}
    assert sorted(path for path in named if not exists(path)) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_between_pages_leads_somewhere(page: Path):
    links = {link for link in LINK.findall(page.read_text()) if "://" not in link}
    assert sorted(link for link in links if not (page.parent / link).exists()) == []


def test_the_examples_of_the_code_style_exist():
    text = (ROOT / "STYLE.md").read_text()
    examples = re.findall(r"`([\w/.]+\.py)`(?:: `([\w.]+)`)?", text)
    assert len(examples) > 8
    for file, name in examples:
        found = [p for p in (ROOT / "src/fogbank" / file, ROOT / file) if p.exists()]
        assert found, file
        assert name in found[0].read_text(), file
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    assert all(f"def {name}(" in tests for name in re.findall(r"`(test_\w+)`", text))


@pytest.mark.parametrize("page", generate_docs.PAGES)
def test_generated_pages_are_current(page: str):
    assert (ROOT / page).read_text() == generate_docs.PAGES[page](), "run: make docs"


@pytest.mark.parametrize("record", generate_docs.decision_records(), ids=lambda r: r.path.name[:4])
def test_a_decision_record_has_a_title_a_date_a_status_and_a_group(record: generate_docs.Record):
    assert record.path.read_text().startswith(f"# {record.path.name[:4]} {record.title}\n\nDate: ")
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", record.date)
    assert record.status.partition(";")[0].partition(" by ")[0] in {"accepted", "superseded"}
    assert record.group in generate_docs.GROUPS


def test_the_number_of_a_decision_record_is_its_own():
    numbers = [record.path.name[:4] for record in generate_docs.decision_records()]
    assert sorted(set(numbers)) == numbers


def test_the_readme_names_the_two_commands():
    text = (ROOT / "README.md").read_text()
    assert "make demo" in text
    assert "make test" in text


def test_architecture_says_where_to_look():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert "I want to" in text
    assert len(rows) >= 15


def test_no_page_or_module_names_a_path_of_somebodys_machine():
    tracked = [*PAGES, *(ROOT / "src").rglob("*.py"), *(ROOT / "tools").rglob("*.py"), ROOT / "Makefile"]
    machine_path = re.compile(r"(?<![\w.$}/])/(?:work|root|home/[a-z])/")
    assert [name(p) for p in tracked if machine_path.search(p.read_text())] == []
