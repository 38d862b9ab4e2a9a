"""A service's status, computed from its spec and the state of its revisions.

Nothing here remembers: given the same service and revisions the same status follows, whatever happened in
which order. Only traffic that cannot move yet stays as it was.
"""

from collections.abc import Mapping
from datetime import datetime

from fogbank.resources.names import ResourceName
from fogbank.resources.run import Readiness, ready_condition, stored_revisions
from fogbank.resources.world import Json, World
from fogbank.services.run import traffic
from fogbank.services.run.objects import GENERATION, condition, find_condition, with_conditions, without_empty

Bodies = Mapping[str, Json]


def revision_bodies(world: World, service: ResourceName) -> dict[str, Json]:
    """Find the revisions of a service, by id."""
    return {r.name.id: r.body for r in stored_revisions(world, service)}


def generation_of(revision: Json) -> int:
    """Return which generation of its service a revision was made for."""
    return int(revision["metadata"]["labels"][GENERATION])


def with_status(service: Json, revisions: Bodies, now: datetime) -> Json:
    """Compute the service with the status that follows from its spec and ``revisions``."""
    before: Json = service["status"]
    created: str = before["latestCreatedRevisionName"]
    ready = _latest_ready(revisions)
    targets = service["spec"]["traffic"]
    configured = _configured(created, revisions, now)
    serving = before.get("traffic")
    if traffic.waiting_for(targets, ready, revisions) or ready is None:
        routed = _not_routed(targets, ready, created, revisions, now)
    else:
        routed = condition("RoutesReady", "True", now)
        serving = traffic.resolved(targets, ready, before["url"])
    conditions = [_overall(configured, routed, now), configured, routed]
    status = before | {
        "observedGeneration": service["metadata"]["generation"],
        "conditions": with_conditions(before.get("conditions", []), conditions),
        "latestReadyRevisionName": ready,
        "traffic": serving,
    }
    return service | {"status": without_empty(status)}


def _latest_ready(revisions: Bodies) -> str | None:
    ready = [name for name, body in revisions.items() if ready_condition(body) is Readiness.READY]
    return max(ready, key=lambda name: generation_of(revisions[name]), default=None)


def _configured(created: str, revisions: Bodies, now: datetime) -> Json:
    return _as_revision("ConfigurationsReady", created, revisions, now)


def _as_revision(type_: str, name: str, revisions: Bodies, now: datetime) -> Json:
    """Make the condition that a revision's own Ready condition implies."""
    body = revisions.get(name, {})
    match ready_condition(body):
        case Readiness.READY:
            lost = find_condition(body, "ResourcesAvailable") or {}
            if lost.get("status") == "False":  # it is ready still, and keeps its traffic
                return condition(type_, "False", now, lost.get("reason"), lost.get("message"))
            return condition(type_, "True", now)
        case Readiness.UNKNOWN:
            return condition(type_, "Unknown", now, "Deploying", f"Deploying revision '{name}'.")
        case Readiness.FAILED:
            why = find_condition(body) or {}
            message = f"Revision '{name}' is not ready and cannot serve traffic. {why.get('message', '')}"
            return condition(type_, "False", now, why.get("reason"), message.strip())


def _not_routed(
    targets: list[Json], ready: str | None, created: str, revisions: Bodies, now: datetime
) -> Json:
    """Return why traffic has not moved: a failure first, else what it waits for."""
    named = [name or created for name in traffic.waiting_for(targets, ready, revisions)] or [created]
    reasons = [_as_revision("RoutesReady", name, revisions, now) for name in named]
    return next((r for r in reasons if r["status"] == "False"), reasons[0])


def _overall(configured: Json, routed: Json, now: datetime) -> Json:
    for status in ("False", "Unknown"):
        for part in (configured, routed):
            if part["status"] == status:
                return condition("Ready", part["status"], now, part.get("reason"), part.get("message"))
    return condition("Ready", "True", now)


def is_settled(service: Json) -> bool:
    """Return whether a service is ready or has failed, and waits for nothing."""
    return ready_condition(service) is not Readiness.UNKNOWN
