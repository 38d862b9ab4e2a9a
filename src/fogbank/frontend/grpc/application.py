"""gRPC over HTTP/2 as an ASGI application: one bridge to the methods of all APIs.

A call is authenticated by its headers before its messages are read. Its request becomes the JSON that the
method over HTTP has, and its answer a message again; errors are a status with details. Methods that stream
(``entries.tail``) send until the client leaves. Messages may come compressed with gzip, as collectors of OTLP
send them; answers are not.
"""

import asyncio
import logging
import secrets
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress

from fogbank.discovery.protos import Rpc, find_rpc
from fogbank.discovery.routes import Match
from fogbank.errors import ApiError, not_built
from fogbank.frontend.api.invoke import Api, Invocation
from fogbank.frontend.api.messages import Authenticator
from fogbank.frontend.grpc.decode import decode
from fogbank.frontend.grpc.encode import encode
from fogbank.frontend.grpc.messages import BadMessageError
from fogbank.frontend.grpc.status import OK, failure, refusal
from fogbank.frontend.grpc.transcoding import Transcoded, transcode
from fogbank.frontend.http.asgi import Receive, Scope, Send, TooLargeError, headers_of, host_of
from fogbank.frontend.http.encodings import unpacked
from fogbank.frontend.http.http1 import Headers
from fogbank.resources.world import Json

MESSAGE_LIMIT = 10 * 1024 * 1024
"""Bytes of a request (Cloud Logging's quota for a call of ``entries.write``)."""

SMALL = 64 * 1024
"""Bytes of a request that is decoded in the event loop; a larger one would hold others up."""

Elsewhere = Callable[[str, Match, Json], Json]
"""Answers a method that is none of :class:`Api`'s: the caller's e-mail address, the method, the body."""

_FRAME = struct.Struct("!BI")
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_HEADERS: Headers = [(b"content-type", b"application/grpc"), (b"grpc-accept-encoding", b"identity,gzip")]

_log = logging.getLogger(__name__)


class BadFrameError(Exception):
    """What a client sent is no message of gRPC; ``status`` is what it hears."""

    def __init__(self, status: str, why: str) -> None:
        super().__init__(why)
        self.status = status


class GrpcApplication:
    """Serves the RPCs of all APIs; ``elsewhere`` answers those of APIs that ``api`` does not have."""

    def __init__(
        self, api: Api, identity: Authenticator, elsewhere: Mapping[str, Elsewhere] | None = None
    ) -> None:
        self._api, self._identity, self._elsewhere = api, identity, elsewhere or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        answer = _Answer(send)
        headers = headers_of(scope)
        try:
            async with asyncio.timeout(_seconds(headers.get("grpc-timeout", ""))):
                trailers = await self._serve(scope, headers, receive, answer)
        except TimeoutError:
            trailers = failure("DEADLINE_EXCEEDED", "Deadline exceeded")
        except ApiError as error:
            trailers = refusal(error)
        except BadFrameError as error:
            trailers = failure(error.status, str(error))
        except BadMessageError as error:
            trailers = failure("INVALID_ARGUMENT", f"The request is not the method's message: {error}.")
        except Exception:  # noqa: BLE001 - a bug is an internal error and keeps its traceback in the log
            reference = secrets.token_hex(4)
            _log.exception("%s failed: %s", scope["path"][:200], reference)
            trailers = failure("INTERNAL", f"Internal error encountered. Reference: {reference}")
        await answer.end(trailers)

    async def _serve(
        self, scope: Scope, headers: Mapping[str, str], receive: Receive, answer: "_Answer"
    ) -> Headers:
        """Answer one call; return the trailers."""
        principal = self._identity.authenticate(headers.get("authorization"))
        rpc = find_rpc(scope["path"].lstrip("/"))
        if rpc is None or scope["method"] != "POST" or (rpc.client_streams and not rpc.server_streams):
            raise not_built(f"the RPC {scope['path'][:200]}")
        host, encoding = host_of(headers), headers.get("grpc-encoding", "identity")
        if rpc.server_streams:
            called = await self._called(rpc, host, await _first_message(receive, encoding))
            await self._stream(rpc, principal, called, receive, answer)
            return OK
        called = await self._called(rpc, host, await _only_message(receive, encoding))
        await answer.message(encode(rpc.response, await self._answer(principal, called)))
        return OK

    async def _called(self, rpc: Rpc, host: str, message: bytes) -> Transcoded:
        if len(message) <= SMALL:
            request = decode(rpc.request, message)
        else:
            request = await asyncio.to_thread(decode, rpc.request, message)
        called = transcode(rpc, host, request)
        if called is None:
            raise not_built(f"the RPC {rpc.path} on {host}")
        return called

    async def _answer(self, principal: str, called: Transcoded) -> Json:
        elsewhere = self._elsewhere.get(called.match.method.api)
        if elsewhere is not None:
            return elsewhere(principal, called.match, called.body or {})
        self._api.check_built(called.match.method)
        return await self._api.answer(Invocation(principal, called.match, called.query, called.body))

    async def _stream(
        self, rpc: Rpc, principal: str, called: Transcoded, receive: Receive, answer: "_Answer"
    ) -> None:
        """Send messages until there are no more or the client leaves."""
        messages = await self._api.stream(Invocation(principal, called.match, called.query, called.body))
        await answer.begin()
        sending = asyncio.create_task(_send_all(rpc, messages, answer))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                await sending
        finally:
            for task in (sending, leaving):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


async def _send_all(rpc: Rpc, messages: AsyncIterator[Json], answer: "_Answer") -> None:
    async with aclosing(messages) as each:  # type: ignore[type-var]
        async for message in each:
            await answer.message(encode(rpc.response, message))


class _Answer:
    """The answer of one call: headers, messages, trailers, in that order."""

    def __init__(self, send: Send) -> None:
        self._send, self._begun = send, False

    async def begin(self) -> None:
        if not self._begun:
            self._begun = True
            start = {"type": "http.response.start", "status": 200, "headers": _HEADERS, "trailers": True}
            await self._send(start)

    async def message(self, data: bytes) -> None:
        await self.begin()
        body = _FRAME.pack(0, len(data)) + data
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self, trailers: Headers) -> None:
        """Send the trailers, which end the stream."""
        await self.begin()
        await self._send({"type": "http.response.trailers", "headers": trailers})


async def _only_message(receive: Receive, encoding: str) -> bytes:
    """Read the one message of a call that does not stream."""
    data = bytearray()
    more = True
    while more:
        chunk, more = await _chunk(receive)
        data += chunk
        _check_frame(data, encoding)
    message, rest = _take(data)
    if message is None or rest:
        raise BadFrameError("INTERNAL", "A call that does not stream has one message.")
    return _unpacked(message, data)


async def _first_message(receive: Receive, encoding: str) -> bytes:
    """Read the first message of a stream; the others are not wanted."""
    data = bytearray()
    more = True
    while more:
        chunk, more = await _chunk(receive)
        data += chunk
        _check_frame(data, encoding)
        message, _ = _take(data)
        if message is not None:
            return _unpacked(message, data)
    raise BadFrameError("INTERNAL", "The stream ended before its first message.")


async def _left(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _chunk(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise BadFrameError("CANCELLED", "The client left.")
    return message.get("body", b""), message.get("more_body", False)


def _unpacked(message: bytes, data: bytearray) -> bytes:
    """Return what a message says, which the head of its frame in ``data`` tells to be compressed or not."""
    if not data[0]:
        return message
    try:
        text = unpacked(message, "gzip", MESSAGE_LIMIT)
    except TooLargeError:
        why = f"Received message that is larger than max ({MESSAGE_LIMIT}) when it is unpacked"
        raise BadFrameError("RESOURCE_EXHAUSTED", why) from None
    if text is message:
        raise BadFrameError("INVALID_ARGUMENT", "The message is not compressed with gzip, as it says.")
    return text


def _check_frame(data: bytearray, encoding: str) -> None:
    """Refuse a frame by its head, before the rest of it is read."""
    if len(data) >= _FRAME.size:
        compressed, length = _FRAME.unpack_from(data)
        if compressed and encoding != "gzip":
            why = f"Messages may be compressed with gzip, and not with {encoding[:50]}."
            raise BadFrameError("UNIMPLEMENTED", why)
        if length > MESSAGE_LIMIT:
            why = f"Received message larger than max ({length} vs. {MESSAGE_LIMIT})"
            raise BadFrameError("RESOURCE_EXHAUSTED", why)
    if len(data) > MESSAGE_LIMIT + _FRAME.size:
        raise BadFrameError("RESOURCE_EXHAUSTED", "More was sent than one message.")


def _take(data: bytearray) -> tuple[bytes | None, bytes]:
    """Take a whole message off the front, and what follows it; None when it is not all there."""
    if len(data) < _FRAME.size:
        return None, b""
    end = _FRAME.size + int(_FRAME.unpack_from(data)[1])
    if len(data) < end:  # asked at each chunk of a stream: nothing is copied before it is whole
        return None, b""
    return bytes(data[_FRAME.size : end]), bytes(data[end:])


def _seconds(timeout: str) -> float | None:
    """Read the header ``grpc-timeout``: up to 8 digits and a unit; None when there is none to be read."""
    digits, unit = timeout[:-1], timeout[-1:]
    if not digits.isascii() or not digits.isdigit() or len(digits) > 8 or unit not in _UNITS:
        return None
    return int(digits) * _UNITS[unit]
