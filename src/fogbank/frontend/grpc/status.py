"""How a call ended, in gRPC's words: a status, a message, and details as ``google.rpc.Status``."""

from base64 import b64encode
from urllib.parse import quote

from fogbank.errors import ApiError
from fogbank.frontend.api.operations import RPC_CODES
from fogbank.frontend.grpc.encode import encode
from fogbank.frontend.grpc.messages import BadMessageError
from fogbank.frontend.http.http1 import Headers

LONGEST_MESSAGE = 2000
LONGEST_DETAILS = 4000
"""Clients refuse trailers of more than 8 KiB or so: a longer message is cut, longer details are left out."""

_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")

OK: Headers = [(b"grpc-status", b"0")]


def failure(status: str, message: str) -> Headers:
    """Make the trailers of a call that gRPC itself refuses: ``status`` is the name of a code."""
    return [
        (b"grpc-status", str(RPC_CODES[status]).encode()),
        (b"grpc-message", quote(message[:LONGEST_MESSAGE], safe=_PLAIN).encode()),
    ]


def refusal(error: ApiError) -> Headers:
    """Make the trailers of a call that an API refuses."""
    status = error.status if error.status in RPC_CODES else "UNKNOWN"
    trailers = failure(status, error.message)
    if error.details:
        details = _details(RPC_CODES[status], error)
        if details and len(details) <= LONGEST_DETAILS:
            trailers.append((b"grpc-status-details-bin", details))
    return trailers


def _details(code: int, error: ApiError) -> bytes:
    whole = {"code": code, "message": error.message[:LONGEST_MESSAGE], "details": list(error.details)}
    try:
        return b64encode(encode("google.rpc.Status", whole)).rstrip(b"=")
    except BadMessageError:  # a detail that no table has; the status and the message say it too
        return b""
