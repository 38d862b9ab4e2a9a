"""Every attack of the table is refused, holds nobody up and leaves no memory behind."""

import os

import pytest
from tests.attacks import (  # noqa: F401 - each adds its rows
    dns,
    exhaustion,
    grpc,
    http1,
    http2,
    local,
    registry,
    roles,
    tenants,
    tls,
    tokens,
)
from tests.attacks.table import ATTACKS
from tests.attacks.target import MORE_MEMORY, MORE_WAIT, suffer

WANTED = [each for each in ATTACKS if each.quick or os.environ.get("FOGBANK_ATTACKS") == "all"]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:ssl.OP_NO_TLS:DeprecationWarning")
@pytest.mark.slow(3)
@pytest.mark.netns
@pytest.mark.xdist_group("attacks")
@pytest.mark.parametrize("attack", WANTED, ids=str)
def test_an_attack_gets_nothing_and_disturbs_nobody(target, rows, attack):
    row, tally = suffer(target.suffer, attack)
    rows.append(row)
    assert tally.through == []
    assert row.more_memory < MORE_MEMORY
    assert row.more_wait < MORE_WAIT, row
