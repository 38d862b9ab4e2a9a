"""Google's APIs for a sample: the metadata server's tokens, and a call with one of them."""

import json

from fogbank.samples.http import fetch
from fogbank.samples.probes import lookup

_SECONDS = 20.0
_METADATA = "http://metadata.google.internal/computeMetadata/v1"


def metadata(path: str) -> str:
    """Ask the metadata server; OSError when it does not answer."""
    found = fetch(f"{_METADATA}/{path}", _SECONDS, lookup, "Metadata-Flavor: Google")
    if found["status"] != 200:
        raise OSError(f"the metadata server answered {found['status']} for {path}")
    return str(found["body"])


def authorization() -> str:
    """Return a line of a request's head with an access token of the instance's service account."""
    token = json.loads(metadata("instance/service-accounts/default/token"))["access_token"]
    return f"Authorization: Bearer {token}"


def identity(audience: str) -> str:
    """Return a line of a request's head with an identity token for another Cloud Run service."""
    token = metadata(f"instance/service-accounts/default/identity?audience={audience}")
    return f"Authorization: Bearer {token.strip()}"


def post(url: str, body: object, header: str) -> dict[str, object]:
    """Send JSON and return the JSON that comes back; OSError with the answer when it is a refusal."""
    sent = json.dumps(body).encode()
    found = fetch(url, _SECONDS, lookup, f"{header}\r\nContent-Type: application/json".strip(), sent)
    if found["status"] != 200:
        raise OSError(f"{url} answered {found['status']}: {found['body']}")
    answer: dict[str, object] = json.loads(str(found["body"]) or "{}")
    return answer
