"""The buckets and views that every project has; others cannot be made (behaviour/logging.md#buckets)."""

from collections.abc import Iterable

from fogbank.errors import ApiError
from fogbank.resources.world import Json, World
from fogbank.services.contract import Call
from fogbank.services.logging.names import BUCKETS, LOCATION, views_of
from fogbank.services.segments import project_of, segments

_DAYS = {"_Default": 30, "_Required": 400}
_ABOUT = {"_Default": "Default bucket", "_Required": "Audit bucket"}
_FILTERS = {
    "_AllLogs": "",
    "_Default": 'NOT LOG_ID("cloudaudit.googleapis.com/data_access") AND '
    'NOT LOG_ID("externalaudit.googleapis.com/data_access")',
}


def _bucket(project: str, bucket: str) -> Json:
    shown: Json = {
        "name": f"projects/{project}/locations/{LOCATION}/buckets/{bucket}",
        "description": _ABOUT[bucket],
        "retentionDays": _DAYS[bucket],
        "lifecycleState": "ACTIVE",
    }
    return shown | {"locked": True} if bucket == "_Required" else shown


def _view(project: str, bucket: str, view: str) -> Json:
    shown: Json = {"name": f"{_bucket(project, bucket)['name']}/views/{view}"}
    return shown | {"filter": _FILTERS[view]} if _FILTERS[view] else shown


def list_buckets(world: World, call: Call) -> Iterable[Json]:
    """List the preset buckets, which are at the location ``global``."""
    if segments(call)["locations"] not in {LOCATION, "-"}:
        return []
    project = project_of(world, call)
    return [_bucket(project, each) for each in BUCKETS]


def get_bucket(world: World, call: Call) -> Json:
    """Show one of them."""
    return _bucket(project_of(world, call), _known_bucket(call))


def list_views(world: World, call: Call) -> Iterable[Json]:
    """List the views of a bucket."""
    project, bucket = project_of(world, call), _known_bucket(call)
    return [_view(project, bucket, each) for each in views_of(bucket)]


def get_view(world: World, call: Call) -> Json:
    """Show one of them."""
    bucket, view = _known_bucket(call), segments(call)["views"]
    if view not in views_of(bucket):
        raise ApiError(404, f"View `{call['name']}` does not exist", "NOT_FOUND", "notFound")
    return _view(project_of(world, call), bucket, view)


def _known_bucket(call: Call) -> str:
    parts = segments(call)
    if parts["locations"] != LOCATION or parts["buckets"] not in BUCKETS:
        message = f"Bucket `{parts['buckets']}` does not exist"
        raise ApiError(404, message, "NOT_FOUND", "notFound")
    return parts["buckets"]
