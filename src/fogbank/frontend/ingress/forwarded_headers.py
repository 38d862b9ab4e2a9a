"""Headers on their way through the ingress: what a container is told of its caller, and the caller of it.

The list is in behaviour/cloud-run.md#container. Those that concern one connection only are dropped at each
side.
"""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from fogbank.frontend.ingress.invoker import without_signature

_ONE_CONNECTION = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
    }
)
_ABOUT_BODY = frozenset({"content-length"})
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_CLOUD_TRACE = re.compile(r"([0-9a-f]{32})(?:/([0-9]{1,20}))?(?:;o=([0-9]))?", re.ASCII)
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")
_OURS = frozenset({"server", "x-cloud-trace-context", "date"})
_FORWARDED_BY_US = frozenset({"x-serverless-authorization", "x-forwarded-proto", "forwarded"})


class BadAnswerError(Exception):
    """A container's answer has something that no HTTP server may send on."""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The trace that a request belongs to: 32 and 16 hexadecimal digits.

    ``parent_id`` is the caller's span, empty when it named none; ``asked`` tells whether the caller wants the
    trace to be kept.
    """

    trace_id: str
    span_id: str
    parent_id: str = ""
    asked: bool = False


class Caller(Protocol):
    """What the headers tell of a request."""

    @property
    def remote_ip(self) -> str:
        """The caller's address."""
        ...

    @property
    def trace(self) -> TraceContext:
        """The request's trace."""
        ...


def new_trace(headers: Mapping[str, str]) -> TraceContext:
    """Go on with the caller's trace, or begin one; the span is new."""
    span = secrets.token_hex(8)
    if found := _TRACEPARENT.fullmatch(headers.get("traceparent", "")):
        return TraceContext(found[1], span, found[2], asked=bool(int(found[3], 16) & 1))
    if found := _CLOUD_TRACE.match(headers.get("x-cloud-trace-context", "")):
        parent = int(found[2] or 0)
        known = f"{parent:016x}" if 0 < parent < 2**64 else ""
        return TraceContext(found[1], span, known, asked=found[3] == "1")
    return TraceContext(secrets.token_hex(16), span)


def request_headers(
    headers: Mapping[str, str], caller: Caller, token_header: str | None
) -> list[tuple[str, str]]:
    """Return the headers that the container gets; ``token_header`` carried the token that was checked."""
    trace, hops = caller.trace, headers.get("x-forwarded-for")
    dropped = _ONE_CONNECTION | _FORWARDED_BY_US | _nominated(headers.get("connection", ""))
    kept = {n: v for n, v in headers.items() if n not in dropped}
    if token_header == "authorization" and "authorization" in kept:  # noqa: S105 (a header's name)
        kept["authorization"] = without_signature(kept["authorization"])
    kept |= {
        "x-forwarded-for": f"{hops},{caller.remote_ip}" if hops else caller.remote_ip,
        "x-forwarded-proto": "https",
        "forwarded": f'for="{caller.remote_ip}";proto=https',
        "x-cloud-trace-context": f"{trace.trace_id}/{int(trace.span_id, 16)};o=1",
        "traceparent": f"00-{trace.trace_id}-{trace.span_id}-01",
    }
    return list(kept.items())


def as_the_client_wrote(headers: Mapping[str, str]) -> dict[str, str]:
    """Undo what a load balancer had to write to name the service: the host is the client's again."""
    found = {name: value for name, value in headers.items() if name != "x-forwarded-host"}
    return found | {"host": headers.get("x-forwarded-host", headers.get("host", ""))}


def client_of(headers: Mapping[str, str]) -> str:
    """Return the client that a load balancer names: the last but one of X-Forwarded-For."""
    named = [each.strip() for each in headers.get("x-forwarded-for", "").split(",")]
    return named[-2] if len(named) > 1 else named[-1]


def _nominated(connection: str) -> frozenset[str]:
    """Read which headers a ``Connection`` header declares its own (RFC 9110, section 7.6.1)."""
    return frozenset(name.strip().lower() for name in connection.split(",")) - {"host"}


def response_trailers(raw: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Give the trailers that the caller gets; BadAnswerError when they are no HTTP."""
    raw = list(raw)
    if not all(_NAME.fullmatch(name) and _VALUE.fullmatch(value) for name, value in raw):
        raise BadAnswerError("a malformed trailer")
    dropped = _ONE_CONNECTION | _ABOUT_BODY
    return [(name.lower(), value) for name, value in raw if name.decode("latin-1").lower() not in dropped]


def response_headers(
    raw: Iterable[tuple[bytes, bytes]], trace: TraceContext, status: int = 200
) -> list[tuple[bytes, bytes]]:
    """Give the headers that the caller gets; BadAnswerError when the container's are no HTTP."""
    raw = list(raw)
    if not 200 <= status <= 599:
        raise BadAnswerError(f"the status {status}")
    if not all(_NAME.fullmatch(name) and _VALUE.fullmatch(value) for name, value in raw):
        raise BadAnswerError("a malformed header")
    dropped = _ONE_CONNECTION | _OURS | (_ABOUT_BODY if status in {204, 304} else frozenset())
    kept = [(name.lower(), value) for name, value in raw if name.decode("latin-1").lower() not in dropped]
    if any(name == b"set-cookie" for name, _ in kept):
        # An answer that sets a cookie must not be shared by a cache (behaviour/cloud-run.md#container).
        kept = [(name, value) for name, value in kept if name != b"cache-control"]
        kept.append((b"cache-control", b"private"))
    return [
        *kept,
        (b"x-cloud-trace-context", f"{trace.trace_id};o=1".encode()),
        (b"server", b"Google Frontend"),
    ]
