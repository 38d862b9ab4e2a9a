"""The collector image: takes OTLP over HTTP (JSON) and hands it on to Google's Telemetry API.

It is as small as an OpenTelemetry Collector with one receiver, one processor, which adds the project to each
resource as Google's asks for, and one exporter. Configure exporters with its URL and the protocol http/json.
"""

import json
import os

from fogbank.samples.google import authorization, metadata, post
from fogbank.samples.web import SampleRequest, SampleResponse, Server, say

_SIGNALS = {"/v1/traces": "resourceSpans", "/v1/logs": "resourceLogs", "/v1/metrics": "resourceMetrics"}
_URL = "https://telemetry.googleapis.com"
_PROJECT = "gcp.project_id"


def with_project(request: dict[str, object], signal: str, project: str) -> dict[str, object]:
    """Add the project to resources that name none; ValueError when this is no request of OTLP's."""
    for each in _listed(request.get(signal), signal):
        attributes = each.setdefault("resource", {}).setdefault("attributes", [])
        if not any(attribute.get("key") == _PROJECT for attribute in attributes):
            attributes.append({"key": _PROJECT, "value": {"stringValue": project}})
    return request


def _listed(value: object, signal: str) -> list[dict[str, dict[str, list[dict[str, object]]]]]:
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        return value
    raise ValueError(f"the request has no {signal}")


def answer(request: SampleRequest) -> SampleResponse:
    """Hand one request on; 503, which exporters try again, when Google's does not take it."""
    signal = _SIGNALS.get(request.path)
    if signal is None or request.method != "POST":
        return SampleResponse("POST to /v1/traces, /v1/logs or /v1/metrics.\n", status=404)
    sent = with_project(json.loads(request.body), signal, metadata("project/project-id").strip())
    try:
        taken = post(_URL + request.path, sent, authorization())
    except OSError as error:
        say(str(error))
        return SampleResponse(f"{error}\n", status=503)
    return SampleResponse(json.dumps(taken), "application/json")


def main() -> None:
    """Run the server at ``$PORT``."""
    port = int(os.environ.get("PORT", "4318"))
    server = Server(answer, port)
    say(f"collector listens on port {port}")
    server.run()
