"""Headers on their way through the ingress: what a container is told of its caller, and the caller of it.

The list is in behaviour/cloud-run.md#container. Those that concern one connection only are dropped at each
side.
"""

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
_OURS = frozenset({"server", "x-cloud-trace-context", "date"})
_FORWARDED_BY_US = frozenset({"x-serverless-authorization", "x-forwarded-proto", "forwarded"})


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The trace that a request belongs to: 32 and 16 hexadecimal digits."""

    trace_id: str
    span_id: str


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
    parts = headers.get("traceparent", "").split("-")
    given = parts[1] if len(parts) == 4 else headers.get("x-cloud-trace-context", "").partition("/")[0]
    known = len(given) == 32 and all(digit in "0123456789abcdef" for digit in given)
    return TraceContext(given if known else secrets.token_hex(16), secrets.token_hex(8))


def request_headers(
    headers: Mapping[str, str], caller: Caller, token_header: str | None
) -> list[tuple[str, str]]:
    """Return the headers that the container gets; ``token_header`` carried the token that was checked."""
    trace, hops = caller.trace, headers.get("x-forwarded-for")
    kept = {n: v for n, v in headers.items() if n not in _ONE_CONNECTION | _FORWARDED_BY_US}
    if token_header == "authorization":  # noqa: S105 (a header's name)
        kept["authorization"] = without_signature(kept["authorization"])
    kept |= {
        "x-forwarded-for": f"{hops},{caller.remote_ip}" if hops else caller.remote_ip,
        "x-forwarded-proto": "https",
        "forwarded": f'for="{caller.remote_ip}";proto=https',
        "x-cloud-trace-context": f"{trace.trace_id}/{int(trace.span_id, 16)};o=1",
        "traceparent": f"00-{trace.trace_id}-{trace.span_id}-01",
    }
    return list(kept.items())


def response_headers(raw: Iterable[tuple[bytes, bytes]], trace: TraceContext) -> list[tuple[bytes, bytes]]:
    """Return the headers that the caller gets."""
    dropped = _ONE_CONNECTION | _OURS
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
