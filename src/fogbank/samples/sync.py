"""The sync image: article 003's application. Each call copies what a partner has into a Spanner database.

``PARTNER`` is the URL to fetch, ``DATABASE`` the database's name (projects/P/instances/I/databases/D), whose
table ``copies`` has the columns ``id`` STRING, ``partner`` STRING and ``body`` STRING. With
``OTEL_EXPORTER_OTLP_ENDPOINT`` each call is told to a collector by OTLP: a span and a log record.
"""

import json
import os
import time

from fogbank.samples.google import authorization, identity, post
from fogbank.samples.http import fetch
from fogbank.samples.probes import lookup
from fogbank.samples.web import SampleRequest, SampleResponse, Server, say

_SECONDS = 10.0
_SPANNER = "https://spanner.googleapis.com/v1"


def write(database: str, row: dict[str, str]) -> None:
    """Write a row; OSError when Spanner refuses it."""
    header = authorization()
    session = post(f"{_SPANNER}/{database}/sessions", {}, header)["name"]
    mutation = {"insert": {"table": "copies", "columns": list(row), "values": [list(row.values())]}}
    body = {"singleUseTransaction": {"readWrite": {}}, "mutations": [mutation]}
    post(f"{_SPANNER}/{session}:commit", body, header)


def copy(partner: str, database: str) -> dict[str, object]:
    """Copy once; OSError when the partner or Spanner refuses."""
    found = fetch(partner, _SECONDS, lookup)
    if found["status"] != 200:
        raise OSError(f"{partner} answered {found['status']}")
    identifier = os.urandom(8).hex()
    write(database, {"id": identifier, "partner": partner, "body": str(found["body"])})
    return {"id": identifier, "source": found["localAddress"], "bytes": len(str(found["body"]))}


class Call:
    """One call as OTLP tells it: ids and times; the trace is the caller's where there is one."""

    def __init__(self, traceparent: str) -> None:
        parts = traceparent.split("-")
        self.trace, self.parent = (parts[1], parts[2]) if len(parts) == 4 else (os.urandom(16).hex(), "")
        self.span, self.start = os.urandom(8).hex(), time.time_ns()

    def tell(self, endpoint: str, outcome: str, *, failed: bool) -> None:
        """Send the span and a log record; OSError when the collector does not take them."""
        end = time.time_ns()
        names = {"service.name": os.environ.get("K_SERVICE", "sync")}
        resource = {
            "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in names.items()]
        }
        span = {
            "traceId": self.trace,
            "spanId": self.span,
            "parentSpanId": self.parent,
            "name": "copy",
            "kind": 2,
            "startTimeUnixNano": str(self.start),
            "endTimeUnixNano": str(end),
            "status": {"code": 2} if failed else {},
        }
        record = {
            "timeUnixNano": str(end),
            "severityNumber": 17 if failed else 9,
            "body": {"stringValue": outcome},
            "traceId": self.trace,
            "spanId": self.span,
            "flags": 1,
        }
        header = identity(endpoint)
        spans = [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]
        post(f"{endpoint}/v1/traces", {"resourceSpans": spans}, header)
        records = [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]
        post(f"{endpoint}/v1/logs", {"resourceLogs": records}, header)


def answer(request: SampleRequest) -> SampleResponse:
    """Copy once, and tell the collector."""
    call = Call(request.headers.get("traceparent", ""))
    failed = False
    try:
        done: dict[str, object] = copy(os.environ["PARTNER"], os.environ["DATABASE"])
    except (OSError, KeyError) as error:
        failed, done = True, {"error": f"{type(error).__name__}: {error}"}
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").rstrip("/")
    if endpoint:
        try:
            call.tell(endpoint, json.dumps(done), failed=failed)
        except OSError as error:  # what is watched goes on without who watches
            say(f"the collector did not take it: {error}")
    done["trace"] = call.trace
    return SampleResponse(json.dumps(done) + "\n", "application/json", 500 if failed else 200)


def main() -> None:
    """Run the server at ``$PORT``."""
    port = int(os.environ.get("PORT", "8080"))
    server = Server(answer, port)
    say(f"sync listens on port {port}")
    server.run()
