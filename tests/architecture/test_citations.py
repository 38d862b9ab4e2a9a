"""Citations of Google's behaviour lead somewhere: each names a page and a heading that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs/reference/behaviour"
FOLDERS = ("src", "tests", "tools", "bench", "docs", "changes")
FILES = sorted(
    path
    for path in (*(p for folder in FOLDERS for p in (ROOT / folder).rglob("*")), *ROOT.glob("*.md"))
    if path.suffix in {".py", ".md"}
)
CITATION = re.compile(r"behaviour/([\w-]+\.md)(?:#([\w-]+))?")
ELSEWHERE = re.compile(r"\b(?:SEMANTICS|CLIENTS|DATAPLANE|KUBERNETES)(?:\.md\b|\s+(?:§\s*)?\d)")
"""Documents that are not in the repository, cited by file name or section."""


def anchors(page: str) -> set[str]:
    """List the anchors of a page's headings as GitHub makes them: lower case, hyphens for spaces."""
    lines = (PAGES / page).read_text().splitlines()
    headings = [line.lstrip("#").strip().lower() for line in lines if line.startswith("#")]
    return {re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in headings}


def citations() -> list[tuple[str, str, str]]:
    """List file, page and heading (empty when the whole page is meant)."""
    return [
        (str(path.relative_to(ROOT)), page, heading)
        for path in FILES
        for page, heading in CITATION.findall(path.read_text())
    ]


def test_every_cited_page_and_heading_exists():
    missing = [
        f"{file}: {page}#{heading}"
        for file, page, heading in citations()
        if not (PAGES / page).exists() or (heading and heading not in anchors(page))
    ]
    assert missing == []


def test_the_code_cites_the_pages():
    assert len({(page, heading) for file, page, heading in citations() if file.startswith("src/")}) > 20


def test_nothing_cites_a_document_that_is_not_in_the_repository():
    assert [str(p.relative_to(ROOT)) for p in FILES if ELSEWHERE.search(p.read_text())] == []


@pytest.mark.parametrize("page", sorted(p.name for p in PAGES.glob("*.md") if p.name != "README.md"))
def test_every_page_is_in_the_index_and_every_section_names_its_source(page: str):
    text = (PAGES / page).read_text()
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    silent = [section.splitlines()[0] for section in sections if "Source: " not in section]
    assert f"]({page})" in (PAGES / "README.md").read_text()
    assert silent == [] or "unless a section" in text
