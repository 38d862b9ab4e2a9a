"""The smallest client that is honest: HTTPS by the standard library, through the proxy, with the key's token.

For machines with neither gcloud nor Google's Python clients. URLs come from the same discovery tables that
the front end routes by.
"""

import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from fogbank.cli.demo.steps import DemoRequest
from fogbank.discovery.routes import fill_template, methods
from fogbank.discovery.tables import documents
from fogbank.errors import OperatorError
from fogbank.frontend.iam import jwt

_SECONDS = 60.0
_TOKEN_LIFE = 3600
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Https:
    """Fetches through the region's proxy and trusts the region's certificates."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        context = ssl.create_default_context(cafile=environment["SSL_CERT_FILE"])
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({"https": environment["HTTPS_PROXY"]}),
            urllib.request.HTTPSHandler(context=context),
        )

    def fetch(
        self, url: str, verb: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> str:
        """Fetch ``url``; OperatorError holds the answer's words when it is refused."""
        request = urllib.request.Request(url, data=body, method=verb, headers=dict(headers or {}))  # noqa: S310
        try:
            with self._opener.open(request, timeout=_SECONDS) as answer:
                text: str = answer.read().decode()
        except urllib.error.HTTPError as error:
            raise OperatorError(f"{verb} {url}: {error.code} {error.read().decode()[:600]}") from error
        except OSError as error:
            raise OperatorError(f"{verb} {url}: {error}") from error
        return text


def address(request: DemoRequest, region: str) -> tuple[str, str]:
    """Compute the verb and the URL of ``request``; Cloud Run's Knative API lives on a host of its region."""
    api, version, name = request.method.split(".", 2)
    document = f"{api}.{version}"
    method = methods(document)[name]
    host = documents()[document].host
    if api == "run":
        host = f"{region}-{host}"
    path, rest = fill_template(method.path, request.parameters)
    query = "?" + urllib.parse.urlencode(rest) if rest else ""
    return method.verb, f"https://{host}/{path}{query}"


class PlainHttps:
    """Calls Google's APIs with nothing but the standard library and a signed token."""

    name = "plain HTTPS calls by Python's urllib (neither gcloud nor Google's Python clients are here)"

    def __init__(self, environment: Mapping[str, str], region: str) -> None:
        self._https = Https(environment)
        self._region = region
        with open(environment["GOOGLE_APPLICATION_CREDENTIALS"], encoding="utf-8") as file:  # noqa: PTH123
            self._key = json.load(file)
        self._token = ""

    def call(self, request: DemoRequest) -> Mapping[str, Any]:
        """Send one request."""
        verb, url = address(request, self._region)
        headers = {"Authorization": f"Bearer {self._access_token()}", "Content-Type": "application/json"}
        body = json.dumps(request.body).encode() if request.body else None
        answer: Mapping[str, Any] = json.loads(self._https.fetch(url, verb, body, headers))
        return answer

    def _access_token(self) -> str:
        if not self._token:
            now = int(time.time())
            claims = {
                "iss": self._key["client_email"],
                "aud": self._key["token_uri"],
                "scope": "https://www.googleapis.com/auth/cloud-platform",
                "iat": now,
                "exp": now + _TOKEN_LIFE,
            }
            pem = self._key["private_key"].encode()
            assertion = jwt.sign_with_pem(pem, self._key["private_key_id"], claims)
            form = urllib.parse.urlencode({"grant_type": _GRANT, "assertion": assertion}).encode()
            self._token = json.loads(self._https.fetch(self._key["token_uri"], "POST", form))["access_token"]
        return self._token
