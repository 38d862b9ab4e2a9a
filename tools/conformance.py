"""Score a running region against recorded conversations, without what no server can satisfy.

usage: python3 tools/conformance.py REPLAY EXCHANGES [--all] [--part I/N] [--show]

REPLAY is the `replay.py` of the conformance kit and EXCHANGES its recordings; run it by `fogbank exec`, with
REPLAY_TOKEN set to what `gcloud auth print-access-token` prints. The kit's own judge compares some values
that normalisation made impossible: one placeholder for a resource's name and its number, a literal where an
etag has to be sent back, constants of the emulator that made some of the recordings. Here these match by
shape, and every conversation has a project of its own; all else is judged by the kit. Conversations that need
other collections than Fogbank has are counted with ``--all`` only. `docs/reference/conformance.md` explains
the outcome.
"""

import argparse
import importlib.util
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

Record = dict[str, Any]
Problem = tuple[str, str]

SERVICES = (
    *("compute", "vpcaccess", "run", "serviceusage", "cloudresourcemanager", "iam"),
    *("artifactregistry", "dns", "servicenetworking"),
)
COMPUTE = {"networks", "subnetworks", "routers", "addresses", "routes", "firewalls"}
COMPUTE |= {"operations", "zones", "regions"}
OTHERS = {
    "vpcaccess": {"connectors", "operations"},
    "run": {"services", "operations"},
    "serviceusage": {"services", "operations"},
    "iam": {"serviceAccounts", "keys", "roles", "permissions"},
    "cloudresourcemanager": {"projects"},
    "artifactregistry": {"repositories", "operations"},
    "dns": {"managedZones", "rrsets", "changes"},
    "servicenetworking": {"connections", "operations"},
}
_COMPUTE_PATH = re.compile(r"/projects/[^/]+(?:/(?:global|aggregated|(?:regions|zones)/[^/]+))?/([A-Za-z]+)")
_ELSEWHERE = re.compile(r"/(folders|organizations|tag\w+|liens)\b")
_DIGITS = re.compile(r"\d+")
_NUMBER = re.compile(r"(?<!\d)\d{12}(?!\d)")
_SOMEBODY = re.compile(r"\w+@(google|example)\.com")
_DEFAULT_NETWORK = "Default network for the project"

ANYTHING = {"uid", "uniqueId", "oauth2ClientId", "generation", "observedGeneration", "privateKeyData"}
"""Recorded as a constant that is no example of the value's form."""


def collection(record: Record) -> str:
    """Name the collection that a request is about, as ``compute.networks``."""
    service, path = record["service"], record["url"].partition("?")[0]
    if service == "compute":
        found = _COMPUTE_PATH.search(path)
        return f"compute.{found[1] if found else 'other'}"
    if service == "cloudresourcemanager":
        return f"{service}.{'other' if _ELSEWHERE.search(path) else 'projects'}"
    return f"{service}.{record['resource']}"


def is_ours(record: Record) -> bool:
    """Return whether Fogbank has the collection."""
    service, _, name = collection(record).partition(".")
    return name in (COMPUTE if service == "compute" else OTHERS.get(service, set()))


class Tags:
    """Remembers etags and fingerprints, and sends the present one where the log has a literal."""

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}

    def learn(self, answer: Any, place: str) -> None:
        """Keep what ``answer`` shows; the last one of a kind stands in for a place never read."""
        for key, value in _fields(answer):
            self.seen[key] = self.seen[place + key] = value

    def fill(self, body: Any, place: str) -> Any:
        """Put the present tags into a request's body."""
        if isinstance(body, list):
            return [self.fill(each, place) for each in body]
        if not isinstance(body, dict):
            return body
        return {
            key: self.seen.get(place + key, self.seen.get(key, value))
            if _is_tag(key, value)
            else self.fill(value, place)
            for key, value in body.items()
        }


def _is_tag(key: str, value: Any) -> bool:
    return isinstance(value, str) and key.lower().endswith(("etag", "fingerprint"))


def _fields(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for each in value:
            yield from _fields(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if _is_tag(key, each):
                yield key, each
            else:
                yield from _fields(each)


def excused(path: str, want: Any, got: Any) -> bool:
    """Return whether a value can differ from the recorded one for no fault of the server."""
    key = path.rpartition(".")[2].partition("[")[0]
    if not isinstance(want, str) or not isinstance(got, str):
        return False
    if key in ANYTHING or (_SOMEBODY.fullmatch(want) and "@" in got):
        return True
    if key in {"id", "targetId"}:
        return bool(_DIGITS.fullmatch(got)) or (path == "$.id" and got.startswith("projects/"))
    return key == "gatewayAddress" and want == "10.0.0.1"


def known_then(path: str, want: Any, got: Any) -> Any:
    """Leave out of an answer the region that opened between two recordings."""
    if path.endswith(".subnetworks") and "asia-southeast3" in str(got) and "asia-southeast3" not in str(want):
        return [link for link in got if "asia-southeast3" not in str(link)]
    return got


def adapted(path: str, want: Any, got: Any) -> Any:
    """Put into an expected value what the recording could not know."""
    if not isinstance(want, str) or not isinstance(got, str):
        return want
    if path.endswith("selfLinkWithId") and _DIGITS.fullmatch(got.rpartition("/")[2]):
        want = want.rpartition("/")[0] + "/" + got.rpartition("/")[2]
    if "${projectNumber}" in want and (number := _NUMBER.search(got)):
        want = want.replace("${projectNumber}", number[0])
    return want.replace("type.googleapis.com/mockgcp.", "type.googleapis.com/google.")


class Judge:
    """The kit's judge with its impossible demands taken out."""

    def __init__(self, kit: ModuleType) -> None:
        self.kit, self.tags, self.known = kit, Tags(), dict[str, str]()
        self._compare, self._call, self._count = kit.compare, kit.call, 0
        kit.compare, kit.call = self.compare, self.call  # type: ignore[attr-defined]

    def compare(  # noqa: PLR0917 - the kit's own signature
        self, env: Any, want: Any, got: Any, path: str = "$", out: Any = None, rebind: Any = ()
    ) -> list[Problem]:
        """Compare as the kit does."""
        out = [] if out is None else out
        if not excused(path, want, got):
            self._compare(env, adapted(path, want, got), known_then(path, want, got), path, out, rebind)
        problems: list[Problem] = out
        return problems

    def call(self, base: str, record: Record, env: Any) -> tuple[int, Any]:
        """Send a request with tags that are current."""
        env.b.update(self.known)
        place = re.sub(r"(:|\?|/setLabels).*", "", env.fill(record["url"]).removeprefix("https://"))
        body = self.tags.fill(record["req_body"], place)
        status, answer = self._call(base, {**record, "req_body": body}, env)
        self.tags.learn(answer, place)
        return status, answer

    def play(self, records: list[Record]) -> list[tuple[Record, list[Problem]]]:
        """Play a conversation in a project of its own."""
        self._count += 1
        project = f"conf-{self._count:04}"
        self.tags, self.known = Tags(), {**_preset(records), "projectId": project}
        first = {"url": f"https://compute.googleapis.com/compute/v1/projects/{project}"}
        self.call("", {**first, "method": "GET", "req_body": None}, self.kit.Env())
        shown = {"url": f"https://cloudresourcemanager.googleapis.com/v1/projects/{project}"}
        _, answer = self.call("", {**shown, "method": "GET", "req_body": None}, self.kit.Env())
        self.known["projectNumber"] = answer["projectNumber"]
        played: list[tuple[Record, list[Problem]]] = self.kit.replay("", records)
        return played


def _preset(records: list[Record]) -> dict[str, str]:
    """Find the placeholder that stands for the default network, which no request makes."""
    for record in records:
        if record["method"] == "POST":
            break
        answer, named = record["resp_body"], re.search(r"/networks/\$\{(\w+)\}", record["url"])
        if named and isinstance(answer, dict) and answer.get("description") == _DEFAULT_NETWORK:
            return {named[1]: "default"}
    return {}


def load(path: Path) -> ModuleType:
    """Load the kit's runner."""
    spec = importlib.util.spec_from_file_location("replay", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is no Python file.")
    kit = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(kit)
    return kit


def main() -> None:
    """Play the conversations and print the scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("replay", type=Path)
    parser.add_argument("exchanges")
    parser.add_argument("--all", action="store_true", help="also conversations with other collections")
    parser.add_argument("--part", default="0/1", help="one part of several: 0/4, 1/4 …")
    parser.add_argument("--show", action="store_true", help="print every disagreement")
    arguments = parser.parse_args()
    kit, (part, parts) = load(arguments.replay), map(int, arguments.part.split("/"))
    judge, good, total, passed, played = Judge(kit), Counter[str](), Counter[str](), 0, 0
    for file, records in kit.load(arguments.exchanges, SERVICES)[part::parts]:
        plain = [record for record in records if record["method"] != "GRPC"]
        if not plain or kit.collapsed(plain) or not (arguments.all or all(map(is_ours, plain))):
            continue
        outcome = judge.play(plain)
        bad = [(record, problems) for record, problems in outcome if problems]
        played, passed = played + 1, passed + (not bad)
        for record, problems in outcome:
            if is_ours(record):
                total[collection(record)] += 1
                good[collection(record)] += not problems
        if arguments.show and bad:
            print(file)
            for record, problems in bad:
                print("   ", record["i"], record["method"], record["url"][:120], problems[:3])
    for name in sorted(total):
        print(f"| `{name}` | {total[name]} | {good[name]} |")
    print(f"exchanges: {good.total()} of {total.total()}; conversations: {passed} of {played}")


if __name__ == "__main__":
    main()
