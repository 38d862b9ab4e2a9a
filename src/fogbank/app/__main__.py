"""A region's own program, started in a world of its own by ``fogbank up``.

Its argument is one JSON object: the settings, and ``root``, the region's folder.
"""

import json
import sys
from pathlib import Path

from fogbank.app.logs import write_log
from fogbank.dataplane.linux import world
from fogbank.errors import OperatorError
from fogbank.settings import Folders, Settings, cache_home


def main() -> int:
    """Take the world over and serve until told to end."""
    handed = json.loads(sys.argv[1])
    places = Folders(Path(handed.pop("root")))
    cache_home().mkdir(parents=True, exist_ok=True, mode=0o700)
    entered = world.enter(keep=(places.root, cache_home()))
    write_log()
    try:
        # Imported only now: nothing heavy may exist when the process forks.
        from fogbank.app.region import serve

        return serve(entered, places, Settings(**handed))
    except OperatorError as error:
        entered.refuse(str(error))
        sys.stderr.write(f"error: {error}\n")
        return 1
    except Exception as error:
        entered.refuse(str(error) or type(error).__name__)
        raise


if __name__ == "__main__":
    sys.exit(main())
