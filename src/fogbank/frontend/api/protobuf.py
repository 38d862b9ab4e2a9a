"""Bodies that are messages of protocol buffers, where an API takes them over HTTP, as OTLP's exporters send.

They become the JSON that the method has anyway, and its answer becomes a message again.
"""

from collections.abc import Mapping

from fogbank.discovery.routes import DiscoveryMethod
from fogbank.errors import ApiError
from fogbank.frontend.api.messages import Reply
from fogbank.frontend.api.operations import RPC_CODES
from fogbank.resources.world import Json

TYPE = "application/x-protobuf"

_COLLECTOR = "opentelemetry.proto.collector"
MESSAGES: Mapping[str, str] = {
    "telemetry.v1.logs.post": f"{_COLLECTOR}.logs.v1.ExportLogsService",
    "telemetry.v1.metrics.post": f"{_COLLECTOR}.metrics.v1.ExportMetricsService",
    "telemetry.v1.traces.post": f"{_COLLECTOR}.trace.v1.ExportTraceService",
}
"""By method what its messages are called, before Request and Response."""


def is_message(content_type: str, method: DiscoveryMethod) -> bool:
    """Return whether a body of this type is a message that the method takes."""
    return content_type.partition(";")[0].strip() == TYPE and method.id in MESSAGES


def read_message(method: DiscoveryMethod, body: bytes) -> Json:
    """Read a request; Google's 400 when it is not the method's message."""
    from fogbank.frontend.grpc.decode import decode  # with its tables, for those who send messages
    from fogbank.frontend.grpc.messages import BadMessageError

    try:
        found: Json = decode(f"{MESSAGES[method.id]}Request", body)
    except BadMessageError as error:
        message = f"The request is not the method's message: {error}."
        raise ApiError(400, message, "INVALID_ARGUMENT", "badRequest") from error
    return found


def message_reply(method: DiscoveryMethod, answer: Json) -> Reply:
    """Write an answer as the method's message."""
    from fogbank.frontend.grpc.encode import encode

    return Reply(200, encode(f"{MESSAGES[method.id]}Response", answer), TYPE)


def status_reply(error: ApiError) -> Reply:
    """Write a refusal as ``google.rpc.Status``, which OTLP asks for."""
    from fogbank.frontend.grpc.encode import encode

    code = RPC_CODES.get(error.status, RPC_CODES["UNKNOWN"])
    return Reply(error.code, encode("google.rpc.Status", {"code": code, "message": error.message}), TYPE)
