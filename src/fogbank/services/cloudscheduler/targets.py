"""What a job sends: its HTTP target checked and filled in (behaviour/cloud-scheduler.md#targets).

Targets of Pub/Sub and App Engine are refused by name.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from urllib.parse import urlsplit

from fogbank.errors import not_built
from fogbank.resources.authorization import check_acts_as
from fogbank.resources.world import Json, World
from fogbank.services.collections import bad_request
from fogbank.services.contract import Call

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
USER_AGENT = "Google-Cloud-Scheduler"

_LONGEST_URI = 2083
_MOST_BODY = 100 * 1024
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_VALUE = re.compile(r"[\t\x20-\x7e]{0,4096}")
_OURS = ("host", "content-length", "connection", "transfer-encoding")


def complete_target(world: World, call: Call, body: Json, project: str) -> Json:
    """Read the target of a job with its defaults; ApiError when it could not be sent."""
    for key, what in (("pubsubTarget", "Pub/Sub"), ("appEngineHttpTarget", "App Engine")):
        if body.get(key):
            raise not_built(f"{what} targets of Cloud Scheduler ({key})")
    target: Json = body.get("httpTarget") or {}
    uri = str(target.get("uri") or "")
    _check_uri(uri)
    method = target.get("httpMethod") or "POST"
    if method == "HTTP_METHOD_UNSPECIFIED":
        method = "POST"
    headers = _headers(target, method)
    found: Json = {"uri": uri, "httpMethod": method, "headers": headers}
    if target.get("body"):
        found["body"] = _check_body(str(target["body"]), method)
    return found | _tokens(world, call, target, project, uri)


def _check_uri(uri: str) -> None:
    try:
        parts = urlsplit(uri)
        known = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known or len(uri) > _LONGEST_URI or not uri.isprintable() or " " in uri:
        raise bad_request(
            f"HttpTarget.uri must be a valid HTTP or HTTPS URL of at most {_LONGEST_URI} characters.",
            "job.http_target.uri",
        )


def _headers(target: Json, method: str) -> Json:
    given = {
        name: value for name, value in (target.get("headers") or {}).items() if name.lower() not in _OURS
    }
    for name, value in given.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(str(value)):
            raise bad_request(f"HttpTarget.headers: '{name}' is not a header of HTTP.")
    names = {name.lower() for name in given}
    more = {} if "user-agent" in names else {"User-Agent": USER_AGENT}
    if method in _WITH_BODY and target.get("body") and "content-type" not in names:
        more["Content-Type"] = "application/octet-stream"
    return given | more


def _check_body(body: str, method: str) -> str:
    if method not in _WITH_BODY:
        raise bad_request(f"HttpTarget.body is not allowed with {method}.", "job.http_target.body")
    try:
        size = len(b64decode(body, validate=True))
    except (Base64Error, ValueError):
        raise bad_request("HttpTarget.body must be base64.", "job.http_target.body") from None
    if size > _MOST_BODY:
        raise bad_request(f"HttpTarget.body must have at most {_MOST_BODY} bytes.", "job.http_target.body")
    return body


def _tokens(world: World, call: Call, target: Json, project: str, uri: str) -> Json:
    oidc, oauth = target.get("oidcToken"), target.get("oauthToken")
    if oidc and oauth:
        raise bad_request("Only one of oidcToken and oauthToken may be set.")
    for token in (oidc, oauth):
        if token:
            email = str(token.get("serviceAccountEmail") or "")
            check_acts_as(call.access, world, call.principal, email, project)
    if oidc:
        return {"oidcToken": {"audience": uri, **{key: text for key, text in oidc.items() if text}}}
    if oauth:
        return {"oauthToken": {"scope": CLOUD_PLATFORM, **{key: text for key, text in oauth.items() if text}}}
    return {}
