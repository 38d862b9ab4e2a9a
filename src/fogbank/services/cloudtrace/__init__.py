"""Cloud Trace (``cloudtrace.googleapis.com``): write spans (v2, v1) and read traces (v1).

Trace sinks are refused by their names.
"""

from fogbank.services.cloudtrace import reading, writing
from fogbank.services.contract import Live, Method, Service

METHODS: dict[str, Method] = {
    "v1.projects.patchTraces": Live(writing.patch_traces, "cloudtrace.traces.patch"),
    "v1.projects.traces.get": Live(reading.get_trace, "cloudtrace.traces.get"),
    "v1.projects.traces.list": Live(reading.list_traces, "cloudtrace.traces.list"),
    "v2.projects.traces.batchWrite": Live(writing.batch_write, "cloudtrace.traces.patch"),
    "v2.projects.traces.spans.createSpan": Live(writing.create_span, "cloudtrace.traces.patch"),
}

SERVICE = Service(
    name="cloudtrace",
    title="Cloud Trace API",
    versions=("v1", "v2"),
    methods=METHODS,
    operations="none",
)
