"""Calls Google's APIs in a region with the credentials of whoever runs the command.

Those are GOOGLE_APPLICATION_CREDENTIALS when the shell has them (a service account's key, or a user's of
`fogbank credentials`), else the region's own. With a service account to act as, a token of its is asked for.
"""

import json
import os
import time
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fogbank.cli.demo.plain import Https
from fogbank.cli.regions import RegionNote
from fogbank.errors import OperatorError
from fogbank.frontend.iam import jwt

Json = dict[str, Any]

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_TOKEN_SECONDS = 3600
_PAUSE = 0.2


class ApiClient:
    """A client of the region ``note``; ``acting_as`` is a service account's e-mail, or empty."""

    def __init__(self, note: RegionNote, acting_as: str = "") -> None:
        environment = {key: value for key, value in note.environment().items() if value is not None}
        self.project = str(note.note["project"])
        self.region = str(note.note["region"])
        self._https = Https(environment)
        own = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
        self._credentials = Path(own or environment["GOOGLE_APPLICATION_CREDENTIALS"])
        self._acting_as, self._token = acting_as, ""

    def call(self, verb: str, url: str, body: Mapping[str, Any] | None = None) -> Json:
        """Send one request; OperatorError has Google's words when it is refused."""
        if not self._token:
            self._token = self._impersonated(self._own_token())
        return self._send(verb, url, body, self._token)

    def find(self, url: str) -> Json | None:
        """Read a resource; None when there is none."""
        try:
            return self.call("GET", url)
        except OperatorError as error:
            if ": 404 " in str(error):
                return None
            raise

    def wait(self, url: str, operation: Json, seconds: float) -> Json:
        """Wait for a long-running operation of the API at ``url``; OperatorError when it fails."""
        until = time.monotonic() + seconds
        while not operation.get("done"):
            if time.monotonic() > until:
                raise OperatorError(
                    f"{operation['name']} did not end. `fogbank status` says what is missing."
                )
            time.sleep(_PAUSE)
            operation = self.call("GET", f"{url}/{operation['name']}")
        if error := operation.get("error"):
            raise OperatorError(str(error["message"]))
        return operation

    def _send(self, verb: str, url: str, body: Mapping[str, Any] | None, token: str) -> Json:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        answer: Json = json.loads(self._https.fetch(url, verb, content, headers))
        return answer

    def _impersonated(self, token: str) -> str:
        if not self._acting_as:
            return token
        account = f"projects/-/serviceAccounts/{self._acting_as}"
        url = f"https://iamcredentials.googleapis.com/v1/{account}:generateAccessToken"
        return str(self._send("POST", url, {"scope": [_SCOPE]}, token)["accessToken"])

    def _own_token(self) -> str:
        try:
            key = json.loads(self._credentials.read_bytes())
        except (OSError, ValueError) as error:
            raise OperatorError(f"The credentials in {self._credentials} cannot be read: {error}") from error
        if key.get("type") == "authorized_user":
            form = {
                "grant_type": "refresh_token",
                **{each: key[each] for each in ("client_id", "client_secret", "refresh_token")},
            }
        else:
            form = {"grant_type": _GRANT, "assertion": _assertion(key)}
        answer = self._https.fetch(_TOKEN_URI, "POST", urllib.parse.urlencode(form).encode())
        return str(json.loads(answer)["access_token"])


def _assertion(key: Json) -> str:
    now = int(time.time())
    claims = {
        "iss": key["client_email"],
        "aud": _TOKEN_URI,
        "scope": _SCOPE,
        "iat": now,
        "exp": now + _TOKEN_SECONDS,
    }
    return jwt.sign_with_pem(key["private_key"].encode(), key["private_key_id"], claims)
