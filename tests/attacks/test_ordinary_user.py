"""What an ordinary user runs is that user's alone: other users of the host reach nothing of it."""

import pytest
from tests.attacks.local import processes_of, try_as_another_user
from tests.attacks.table import Tally
from tests.ordinary_user import NUMBER, ordinary_user


@pytest.mark.netns
@pytest.mark.slow(3)
def test_an_ordinary_users_region_is_closed_to_other_users_of_the_host() -> None:
    tally = Tally()
    with ordinary_user() as user:
        up = user.python("-m", "fogbank.cli", "up", "--detach", "--port", "0")
        try:
            assert up.returncode == 0, up.stderr
            folder = next(user.home.rglob("operator.sock")).parent
            assert folder.stat().st_uid == NUMBER
            try_as_another_user(folder, processes_of(folder), tally)
        finally:
            user.python("-m", "fogbank.cli", "down")
    assert tally.through == []
    assert tally.tried > 30
