"""Cloud Logging (``logging.googleapis.com``): entries, their query language, logs, and the preset buckets.

Entries are not in the World: the region's :class:`fogbank.store.log_entries.LogEntries` has them, which the
manifest hands to the methods. Sinks, metrics, exclusions and own buckets are refused by their names.
"""

from fogbank.services.contract import List, Live, Method, Read, Service, Streaming
from fogbank.services.logging import buckets, entries, logs, writing

METHODS: dict[str, Method] = {
    "entries.list": Live(entries.list_entries, "logging.logEntries.list", entries.listed_projects),
    "entries.write": Live(writing.write_entries, "logging.logEntries.create", writing.written_projects),
    "entries.tail": Streaming(entries.tail_entries, "logging.logEntries.list", entries.listed_projects),
    "projects.logs.list": Live(logs.list_logs, "logging.logs.list"),
    "projects.logs.delete": Live(logs.delete_log, "logging.logs.delete"),
    "projects.locations.buckets.views.logs.list": Live(logs.list_logs, "logging.logs.list"),
    "projects.locations.buckets.list": List(
        buckets.list_buckets, "buckets", permission="logging.buckets.list"
    ),
    "projects.locations.buckets.get": Read(buckets.get_bucket, "logging.buckets.get"),
    "projects.locations.buckets.views.list": List(
        buckets.list_views, "views", permission="logging.views.list"
    ),
    "projects.locations.buckets.views.get": Read(buckets.get_view, "logging.views.get"),
}

SERVICE = Service(name="logging", title="Cloud Logging API", versions=("v2",), methods=METHODS)
