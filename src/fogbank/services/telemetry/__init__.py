"""The Telemetry API (``telemetry.googleapis.com``): spans, log entries and metrics by OTLP.

What it takes is read by the APIs of Cloud Trace, Cloud Logging and Cloud Monitoring. Google publishes no
description of it: `tools/documents/telemetry.v1.json` has what its reference says (behaviour/telemetry.md).
"""

from fogbank.services.contract import Live, Method, Service
from fogbank.services.telemetry import logs, metrics, traces
from fogbank.services.telemetry.attributes import projects_of

METHODS: dict[str, Method] = {
    "traces.post": Live(traces.export, "telemetry.traces.write", projects_of("resourceSpans")),
    "logs.post": Live(logs.export, "logging.logEntries.create", projects_of("resourceLogs")),
    "metrics.post": Live(metrics.export, "monitoring.timeSeries.create", projects_of("resourceMetrics")),
}

SERVICE = Service(
    name="telemetry",
    title="Telemetry API",
    versions=("v1",),
    methods=METHODS,
    operations="none",
)
