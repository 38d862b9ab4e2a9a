"""Begin an API: `make new-service NAME=redis` makes its folder, its tests and its line in the registry.

Google's discovery document gives the title and the versions, and is compiled to tables. Every method of it
then answers UNIMPLEMENTED with its name, until somebody writes it: the folder's roles are told at the end.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a program, its own folder comes first

from tools.generate_discovery import documents, load  # noqa: E402 - after the path

from fogbank.frontend.api.error_envelopes import unbuilt_dialect  # noqa: E402 - after the path

REGISTRY = Path("src/fogbank/app/registry.py")
_NAME = re.compile(r"[a-z][a-z0-9]*")
_OPERATIONS = re.compile(r'"id": "\w+\.(?:projects\.locations\.)?operations\.')
_VERSION = re.compile(r"v\d+(?:beta\d+)?")

SERVICE = '''"""{title} (``{name}.googleapis.com``): nothing of it is built yet."""

from fogbank.services.contract import {imports}

SERVICE = Service(
    name="{name}",
    title="{title}",
    versions={versions},
    methods={{}},{more}
)
'''

MANIFEST = '''"""What the region is given of {title}."""

from fogbank.app.manifest import Manifest
from fogbank.services.{name} import SERVICE
from fogbank.services.{name}.controller import make_controller
from fogbank.services.{name}.feature import FEATURES

MANIFEST = Manifest(SERVICE, features=FEATURES, controller=make_controller)
'''

FEATURE = '''"""{title}: what its resources add to networks. Nothing is lowered yet.

What a feature may add is in `fogbank.lowering.feature`; vpcaccess and run have examples.
"""

from fogbank.lowering.feature import Feature


class {Name}(Feature):
    """The resources of {title}: each is one source."""

    resources = frozenset()


FEATURES: tuple[Feature, ...] = ({Name}(),)
'''

CONTROLLER = '''"""{title}: what it does while the region runs. Nothing is looked after yet.

What a controller may use and must offer is in `fogbank.control.controller`; vpcaccess has a short one.
"""

from fogbank.control.controller import Controller, Runtime
from fogbank.control.periodic import every

PAUSE_SECONDS = 5.0


def make_controller(runtime: Runtime) -> "{Name}":
    """Make the controller of {title}."""
    return {Name}(runtime)


class {Name}(Controller):
    """Looks after the resources of {title}."""

    name = "{name}"

    def __init__(self, runtime: Runtime) -> None:
        self._store = runtime.store

    async def run(self) -> None:
        """Look every few seconds until cancelled."""
        await every(PAUSE_SECONDS, self.look)

    def look(self) -> None:
        """Compare what the World promises with what is there: ``self._store.world`` has it."""
'''

TEST = '''"""{title}: what it answers."""

import pytest
from tests.serving import Region

from fogbank.discovery.routes import methods
from fogbank.errors import ApiError
from fogbank.frontend.api.coverage import handled
from fogbank.services.{name} import SERVICE


async def test_what_is_not_built_is_refused_by_its_name(tmp_path):
    region = Region(tmp_path, [SERVICE])
    described = [m for v in SERVICE.versions for m in methods(f"{{SERVICE.name}}.{{v}}").values()]
    for method in (each for each in described if not handled(SERVICE, each)):
        with pytest.raises(ApiError) as caught:
            region.calls.check_built(method)
        assert (caught.value.code, method.id in caught.value.message) == (400, True)
    await region.store.close()
'''

HINTS = """{name} is registered; each method is refused with its name. Next, in its folder below services:
  one module a collection   its methods, with the permission each needs; a plain one is a Collection
  __init__.py               SERVICE.methods has them
  feature.py                what it attaches to networks: name the collections, or delete the file
  controller.py             what it does while the region runs, or delete the file
  manifest.py               puts these together; take out what you deleted
A resource that holds addresses of a network keeps network_use (fogbank.resources.network_users) in its
private part: compute then refuses to delete the network or to give the range away.
"""


def versions_of(name: str, known: Path) -> list[str]:
    """List the versions of an API that Google describes: the general ones, else its betas."""
    found = [path.stem.partition(".")[2] for path in known.glob(f"{name}.*.json")]
    usable = sorted(each for each in found if _VERSION.fullmatch(each))
    return [each for each in usable if "beta" not in each] or usable


def register(text: str, name: str) -> str:
    """Add an API's line to the text of the registry, in order."""
    start = text.index("APIS: tuple[str, ...] = (\n") + len("APIS: tuple[str, ...] = (\n")
    end = text.index(")\n", start)
    lines = sorted({*text[start:end].splitlines(keepends=True), f'    "{name}",\n'})
    return text[:start] + "".join(lines) + text[end:]


def files(name: str, title: str, versions: list[str], *, operations: bool) -> dict[str, str]:
    """Write what a new API consists of, by path; ``operations`` tells whether clients can ask for them."""
    listed = "(" + ", ".join(f'"{each}"' for each in versions) + ("," if len(versions) == 1 else "") + ")"
    fields = {
        "name": name,
        "Name": name.capitalize(),
        "title": title,
        "versions": listed,
        "imports": "Service",
        "more": "",
    }
    if (dialect := unbuilt_dialect(name)) != "status":
        fields["more"] += f'\n    errors="{dialect}",'
    if operations:
        fields["imports"] = "Service, operation_permissions"
        fields["more"] += f'\n    permissions=operation_permissions("{name}", "operations"),'
    return {
        f"src/fogbank/services/{name}/__init__.py": SERVICE.format(**fields),
        f"src/fogbank/services/{name}/feature.py": FEATURE.format(**fields),
        f"src/fogbank/services/{name}/controller.py": CONTROLLER.format(**fields),
        f"src/fogbank/services/{name}/manifest.py": MANIFEST.format(**fields),
        f"tests/unit/services/{name}/test_{name}.py": TEST.format(**fields),
    }


def create(root: Path, name: str, known: Path) -> None:
    """Make the folder, the tests and the line; SystemExit when the name is none or is taken."""
    if not _NAME.fullmatch(name):
        sys.exit(f"'{name}' is no name of an API: it is the first part of its host, like redis")
    if (root / "src/fogbank/services" / name).exists():
        sys.exit(f"src/fogbank/services/{name} is there already")
    versions = versions_of(name, known)
    described = [load(f"{name}.{version}") for version in versions]
    operations = any(_OPERATIONS.search(json.dumps(each)) for each in described)
    title = described[-1]["title"] if described else f"{name.capitalize()} API"
    for path, text in files(name, title, versions, operations=operations).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    registry = root / REGISTRY
    registry.write_text(register(registry.read_text(), name))


def main(name: str) -> None:
    """Make the API, then its tables and the page of what is covered."""
    create(ROOT, name, documents())
    for tool in ("generate_discovery.py", "generate_docs.py"):
        subprocess.run([sys.executable, ROOT / "tools" / tool], check=True)
    sys.stdout.write(HINTS.format(name=name))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
