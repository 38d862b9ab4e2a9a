"""Who serves a service's requests: what the client asked for, and what that comes to now.

Traffic moves only to revisions that are ready; until then, and when one fails, it stays where it was.
"""

import re
from collections.abc import Mapping

from fogbank.resources.run import Readiness, ready_condition
from fogbank.resources.urls import tagged_url
from fogbank.resources.world import Json
from fogbank.services.run.objects import bad_request, without_empty

ALL_TO_LATEST: list[Json] = [{"latestRevision": True, "percent": 100}]

MAX_TAG_AND_SERVICE = 46

_TAG = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def complete(targets: list[Json]) -> list[Json]:
    """Fill in the default, and leave out what a status adds (gcloud sends it back)."""
    kept = ("latestRevision", "revisionName", "percent", "tag")
    return [
        without_empty({k: t.get(k) for k in kept if t.get(k) is not False}) for t in targets
    ] or ALL_TO_LATEST


def check(targets: list[Json], revisions: frozenset[str], service: str) -> None:
    """Refuse traffic that does not add up to 100, names a revision that does not exist, or has a bad tag.

    ``service`` is the service's own name: a tag stands before it in a host label.
    """
    tags = [t["tag"] for t in targets if "tag" in t]
    for target in targets:
        if ("revisionName" in target) == ("latestRevision" in target):
            raise bad_request("Each traffic target must name either a revision or the latest revision.")
        name = target.get("revisionName")
        if name is not None and name not in revisions:
            raise bad_request(f"Revision '{name}' in spec.traffic does not exist.")
        if not 0 <= target.get("percent", 0) <= 100:
            raise bad_request(f"Traffic percent {target['percent']} must be between 0 and 100.")
    for tag in tags:
        if not _TAG.fullmatch(tag) or tags.count(tag) > 1:
            raise bad_request(f"Traffic tag '{tag}' must be a lower-case host label, used once.")
        if len(tag) + len(service) > MAX_TAG_AND_SERVICE:
            raise bad_request(
                f"spec.traffic.tag: traffic tag '{tag}' and service name '{service}' together are too long. "
                f"Combined traffic tag and service name cannot exceed {MAX_TAG_AND_SERVICE} characters."
            )
    total = sum(target.get("percent", 0) for target in targets)
    if total != 100:
        raise bad_request(f"The sum of traffic percentages must be 100, got {total}.")


def waiting_for(
    targets: list[Json], latest_ready: str | None, revisions: Mapping[str, Json]
) -> list[str | None]:
    """List the revisions that must become ready before traffic can move to ``targets``; None: any at all."""
    needed = [t.get("revisionName") or latest_ready for t in targets]
    return [n for n in needed if n is None or ready_condition(revisions.get(n, {})) is not Readiness.READY]


def resolved(targets: list[Json], latest_ready: str, url: str) -> list[Json]:
    """Say which revision each target means now, and the URL of each tag."""
    return [
        {
            "revisionName": target.get("revisionName") or latest_ready,
            **target,
            **({"url": tagged_url(url, target["tag"])} if "tag" in target else {}),
        }
        for target in targets
    ]
