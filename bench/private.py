"""Work inside a private world, as the tests with real packets do it, with a result that comes back."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.private_world import run_in_private_world


def in_private_world(work: Callable[[], Any]) -> Any:
    """Call ``work`` as root of fresh namespaces; its result travels as JSON."""
    with tempfile.TemporaryDirectory(prefix="fogbank-bench-") as folder:
        result = Path(folder, "result")
        run_in_private_world(lambda: result.write_text(json.dumps(work())))
        return json.loads(result.read_text())
