"""Attacks: the quick ones always, all of them with ``make attack``; at the end a table of their figures."""

import json
import os
from pathlib import Path

import pytest
from tests.attacks.table import Row, as_json, as_table
from tests.attacks.target import Target

_ROWS: list[Row] = []


@pytest.fixture(scope="session")
def target():
    running = Target()
    yield running
    running.close()


@pytest.fixture(scope="session")
def rows():
    return _ROWS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _ROWS:
        return
    terminalreporter.write_line("")
    terminalreporter.write_line(as_table(_ROWS))
    if report := os.environ.get("FOGBANK_ATTACK_REPORT"):
        Path(report).write_text(json.dumps(as_json(_ROWS), indent=2) + "\n")
