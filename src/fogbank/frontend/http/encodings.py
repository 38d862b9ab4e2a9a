"""Bodies that came compressed: what they say has a limit, because a small body can say very much."""

import zlib

from fogbank.frontend.http.asgi import TooLargeError

_GZIP = 16 + zlib.MAX_WBITS


def unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    """Return what a body with this ``Content-Encoding`` says; TooLargeError when that passes ``limit``.

    One that is not compressed as it says, or in a way that is not known here, stays as it is: whoever reads
    it finds that it is no message.
    """
    if encoding != "gzip":
        return body
    inflating = zlib.decompressobj(_GZIP)
    try:
        text = inflating.decompress(body, limit + 1)
    except zlib.error:
        return body
    if len(text) > limit:
        raise TooLargeError
    return text if inflating.eof else body
