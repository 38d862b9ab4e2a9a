"""Batches: several requests in one, as ``multipart/mixed`` (behaviour/clients.md#batches).

Each part is an HTTP request; its answer goes back in a part whose Content-ID says which request it was of.
A part without credentials has those of the batch.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from email.message import Message
from email.parser import BytesHeaderParser
from http import HTTPStatus
from urllib.parse import urlsplit

from fogbank.errors import ApiError
from fogbank.frontend.api.error_envelopes import error_body
from fogbank.frontend.api.messages import ApiRequest, Reply, json_reply
from fogbank.frontend.http.asgi import plain_host
from fogbank.limits import HEAD_LIMIT

LARGEST_BATCH = 1000
"""Parts in one batch, as Google's limit."""

_LONGEST_TYPE = 1000
"""Characters of a content type; reading its parameters takes time that grows with their square."""


@dataclass(frozen=True, slots=True)
class BatchPart:
    """A request in a batch and the Content-ID that its answer must echo."""

    content_id: str
    request: ApiRequest


def is_batch(request: ApiRequest) -> bool:
    """Return whether a request is a batch."""
    return request.verb == "POST" and (request.path == "/batch" or request.path.startswith("/batch/"))


async def answer_batch(request: ApiRequest, answer: Callable[[ApiRequest], Awaitable[Reply]]) -> Reply:
    """Answer every part in order, by ``answer``."""
    try:
        parts = parse_batch(request)
    except ValueError as error:
        refused = ApiError(400, f"Failed to parse batch request: {error}.", "INVALID_ARGUMENT", "badRequest")
        return json_reply(400, error_body(None, refused))
    boundary = f"batch_{secrets.token_urlsafe(16)}"
    content = b"".join([render_part(boundary, p, await answer(p.request)) for p in parts])
    return Reply(200, content + f"--{boundary}--\r\n".encode(), f"multipart/mixed; boundary={boundary}")


def parse_batch(request: ApiRequest) -> list[BatchPart]:
    """Read the parts of a batch; ValueError says what is wrong."""
    if len(request.content_type) > _LONGEST_TYPE:
        raise ValueError("its content type is too long")
    header = Message()
    header["content-type"] = request.content_type
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/mixed" or not isinstance(boundary, str):
        raise ValueError("the content type must be multipart/mixed with a boundary")
    delimiter = b"\n--" + boundary.encode()
    chunks = (b"\n" + request.body.replace(b"\r\n", b"\n")).split(delimiter)[1:]
    parts = [_parse_part(chunk, request) for chunk in chunks if not chunk.startswith(b"--")]
    if not parts:
        raise ValueError("it has no parts")
    if len(parts) > LARGEST_BATCH:
        raise ValueError(f"it has {len(parts)} parts; {LARGEST_BATCH} is the limit")
    if any(is_batch(part.request) for part in parts):
        raise ValueError("one of its parts is a batch")
    return parts


def _parse_part(chunk: bytes, outer: ApiRequest) -> BatchPart:
    head, _, inner = chunk.lstrip(b" \t").removeprefix(b"\n").partition(b"\n\n")
    line, _, rest = inner.lstrip(b"\n").partition(b"\n")
    head_text, _, body = rest.partition(b"\n\n") if not rest.startswith(b"\n") else (b"", b"", rest[1:])
    if len(head) + len(line) + len(head_text) > HEAD_LIMIT:
        raise ValueError(f"the head of a part is larger than {HEAD_LIMIT} bytes")
    words = line.decode("latin-1").split()
    if len(words) < 2:
        raise ValueError("a part has no request line")
    headers = BytesHeaderParser().parsebytes(head_text)
    target = urlsplit(words[1])
    return BatchPart(
        _text(BytesHeaderParser().parsebytes(head), "content-id"),
        replace(
            outer,
            verb=words[0].upper(),
            host=plain_host(target.hostname or outer.host),
            path=target.path,
            query=target.query.encode(),
            authorization=_text(headers, "authorization") or outer.authorization,
            content_type=_text(headers, "content-type"),
            body=body.strip(),
        ),
    )


def _text(headers: Message, name: str) -> str:
    """Read a header as one line of text; bytes that are no ASCII make it a Header object otherwise."""
    return " ".join(str(headers.get(name, "")).split())


def render_part(boundary: str, part: BatchPart, reply: Reply) -> bytes:
    """Render the answer to one part."""
    lines = [f"--{boundary}", "Content-Type: application/http"]
    if part.content_id:
        inner = part.content_id.removeprefix("<").removesuffix(">")
        lines.append(f"Content-ID: <response-{inner}>")
    phrase = HTTPStatus(reply.status).phrase
    lines += [
        "",
        f"HTTP/1.1 {reply.status} {phrase}",
        f"Content-Type: {reply.type}",
        f"Content-Length: {len(reply.content)}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + reply.content + b"\r\n"
