"""Batches as gcloud sends them."""

from dataclasses import replace

import pytest
from inline_snapshot import snapshot

from fogbank.frontend.api.batch import parse_batch, render_part
from fogbank.frontend.api.messages import ApiRequest, json_reply

BODY = (
    "--===B==\r\nContent-Type: application/http\r\nMIME-Version: 1.0\r\n"
    "Content-Transfer-Encoding: binary\r\nContent-ID: <abc+0>\r\n\r\n"
    "POST /compute/v1/projects/p/global/networks?alt=json HTTP/1.1\r\n"
    "Content-Type: application/json\r\nMIME-Version: 1.0\r\ncontent-length: 12\r\n"
    "Host: compute.googleapis.com\r\n\r\n"
    '{"name":"a"}\r\n'
    "--===B==\r\nContent-Type: application/http\r\nContent-ID: <abc+1>\r\n\r\n"
    "GET https://www.googleapis.com/compute/v1/projects/p HTTP/1.1\r\n\r\n\r\n"
    "--===B==--\r\n"
)


def batch(body=BODY, content_type='multipart/mixed; boundary="===B=="'):
    return ApiRequest(
        "POST", "compute.googleapis.com", "/batch/compute/v1", b"", "Bearer t", content_type, body.encode()
    )


@pytest.mark.parametrize("newline", ["\r\n", "\n"])
def test_the_parts_of_a_batch_are_requests(newline):
    first, second = parse_batch(batch(BODY.replace("\r\n", newline)))
    assert first.content_id == "<abc+0>"
    assert first.request == ApiRequest(
        "POST", "compute.googleapis.com", "/compute/v1/projects/p/global/networks", b"alt=json", "Bearer t",
        "application/json", b'{"name":"a"}',
    )  # fmt: skip
    assert (second.request.verb, second.request.host) == ("GET", "www.googleapis.com")
    assert second.request.body == b""


def test_an_answer_echoes_the_content_id():
    part = parse_batch(batch())[0]
    assert render_part("X", part, json_reply(200, {"a": 1})).decode() == snapshot("""\
--X\r
Content-Type: application/http\r
Content-ID: <response-abc+0>\r
\r
HTTP/1.1 200 OK\r
Content-Type: application/json; charset=UTF-8\r
Content-Length: 7\r
\r
{"a":1}\r
""")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("", "multipart/mixed; boundary=x"),
        (BODY, "application/json"),
        (BODY, "multipart/mixed"),
        (BODY.replace("POST /compute/v1", "POST /batch/compute/v1"), 'multipart/mixed; boundary="===B=="'),
    ],
)
def test_what_is_no_batch_is_refused(body, content_type):
    with pytest.raises(ValueError, match=r"\w"):
        parse_batch(batch(body, content_type))


def test_a_header_that_is_no_ascii_is_text():
    body = BODY.encode().replace(
        b"Content-Type: application/json", b"Authorization: Bearer \xff\r\nContent-Type: \xfe"
    )
    part = parse_batch(replace(batch(), body=body.replace(b"<abc+0>", b"<\xff>")))[0]
    assert part.request.authorization == "Bearer \ufffd"
    assert part.request.content_type == "\ufffd"
    assert part.content_id == "<\ufffd>"


def test_the_head_of_a_part_is_no_larger_than_that_of_a_request():
    for head in ("GET /" + "a" * 70_000, "GET / HTTP/1.1\r\nx: " + "a" * 70_000):
        with pytest.raises(ValueError, match="the head of a part is larger"):
            parse_batch(batch(BODY.replace("GET https", f"{head}\r\nx: https")))
