"""The target of a request: the one place where text from a client becomes a path, a query or a host.

RFC 9112, section 3.2: the origin form (``/path?query``), the absolute form (``http://host/path``) and ``*``,
which is for OPTIONS alone. A target has visible ASCII characters only, so nothing behind this can split a
header or a URL with it.
"""

import re
from dataclasses import dataclass

LONGEST_HOST = 253
"""Characters in a host's name (RFC 1035, section 2.3.4)."""

_ORIGIN = re.compile(rb"(/[!-\"$->@-~]*)(?:\?([!-\"$-~]*))?")
_ABSOLUTE = re.compile(rb"https?://([^/?]+)(?:(/[!-\"$->@-~]*))?(?:\?([!-\"$-~]*))?", re.IGNORECASE)
_AUTHORITY = re.compile(r"([a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5})?)?")
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")


class BadTargetError(ValueError):
    """A request's target, or its host, has none of the forms that HTTP knows."""


@dataclass(frozen=True, slots=True)
class RequestTarget:
    """A target taken apart; ``path`` begins with ``/`` or is ``*``; ``host`` is that of an absolute form."""

    path: bytes
    query: bytes = b""
    host: bytes | None = None

    def render(self) -> bytes:
        """Write the path and the query as one."""
        return self.path + b"?" + self.query if self.query else self.path


def is_path(target: bytes) -> bool:
    """Return whether a target has the origin form, which nearly all have."""
    return _ORIGIN.fullmatch(target) is not None


def read_target(method: str, target: bytes) -> RequestTarget:
    """Read the target of a request; BadTargetError when it is malformed, or its form not for this method."""
    if method == "OPTIONS" and target == b"*":
        return RequestTarget(target)
    if found := _ORIGIN.fullmatch(target):
        return RequestTarget(found[1], found[2] or b"")
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        raise BadTargetError("the target is neither a path nor a URL")
    read_authority(found[1].decode("latin-1"))
    return RequestTarget(found[2] or b"/", found[3] or b"", found[1])


def read_authority(text: str) -> tuple[str, int | None]:
    """Read ``host`` or ``host:port``; the host in lower case, without the dot that ends a full name."""
    found = _AUTHORITY.fullmatch(text.lower())
    if found is None or (port := int(found[2] or 0)) > 65535:
        raise BadTargetError("not a host, or a host and a port")
    host = found[1].removesuffix(".")
    if not host.startswith("[") and not is_host_name(host):
        raise BadTargetError("not a host, or a host and a port")
    return host, port or None


def is_host_name(host: str) -> bool:
    """Tell whether ``host`` (lower case) is a name or an IPv4 address: labels of 1 to 63 characters."""
    return len(host) <= LONGEST_HOST and _NAME.fullmatch(host) is not None
