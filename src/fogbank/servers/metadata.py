"""The metadata server: what an instance may know about itself, at http://169.254.169.254.

A caller is known by the address that it comes from, which nobody else in the fabric can take. Values
are a tree; a path names a leaf or, with a slash at its end, a folder that is listed
(behaviour/cloud-run.md#container).
"""

import html
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from urllib.parse import quote

from fogbank.frontend.http.asgi import (
    Application,
    HttpRequest,
    HttpResponse,
    application,
    html_answer,
    text_answer,
)
from fogbank.frontend.iam.accounts import Account
from fogbank.frontend.iam.identity import Identity
from fogbank.frontend.iam.tokens import CLOUD_PLATFORM, LIFETIME_SECONDS

SCOPES = (CLOUD_PLATFORM, "https://www.googleapis.com/auth/userinfo.email")
"""What an instance's tokens are good for, unless it asks for less."""

_ROOT = "/computeMetadata/v1/"
_HEADERS = {"Metadata-Flavor": "Google", "Server": "Metadata Server for Serverless"}
_PLAIN = "application/text"


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """What the metadata server tells one instance; ``service_account`` is an e-mail address."""

    instance_id: str
    project: str
    project_number: str
    region: str
    service_account: str


Leaf = str | tuple[str, ...]
Tree = Mapping[str, "Leaf | Tree"]


def metadata_application(
    identity: Identity, instance_of: Callable[[IPv4Address], InstanceFacts | None]
) -> Application:
    """Make the ASGI application; ``instance_of`` tells which instance has an address."""
    return application(Metadata(identity, instance_of).answer)


def tree_of(facts: InstanceFacts) -> Tree:
    """Lay out everything that can be read without making a token."""
    account: Tree = {"aliases": ("default",), "email": facts.service_account, "scopes": SCOPES}
    return {
        "instance": {
            "id": facts.instance_id,
            "region": f"projects/{facts.project_number}/regions/{facts.region}",
            "service-accounts": {"default": account, facts.service_account: account},
            # Cloud Run always names this zone, which no instance is in (behaviour/cloud-run.md#container).
            "zone": f"projects/{facts.project_number}/zones/{facts.region}-1",
        },
        "project": {"numeric-project-id": facts.project_number, "project-id": facts.project},
    }


class Metadata:
    """The handlers."""

    def __init__(
        self, identity: Identity, instance_of: Callable[[IPv4Address], InstanceFacts | None]
    ) -> None:
        self._identity, self._instance_of = identity, instance_of

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer one request."""
        if request.method not in {"GET", "HEAD"}:
            return _page(request, 405, "Method Not Allowed", "The request method is not allowed.")
        if request.path in _ABOVE:
            return text_answer(_ABOVE[request.path], headers=_HEADERS)
        if not _allowed(request):
            return _page(
                request,
                403,
                "Forbidden",
                "Your client does not have permission to get this URL from this server. "
                "Missing Metadata-Flavor:Google header.",
            )
        facts = self._facts(request.client)
        if facts is None or not request.path.startswith(_ROOT):
            return _not_found(request)
        return self._value(request, facts)

    def _facts(self, client: str) -> InstanceFacts | None:
        try:
            return self._instance_of(IPv4Address(client))
        except AddressValueError:
            return None

    def _value(self, request: HttpRequest, facts: InstanceFacts) -> HttpResponse:
        parts = [part for part in request.path.removeprefix(_ROOT).split("/") if part]
        if len(parts) == 4 and parts[1] == "service-accounts" and parts[3] in {"token", "identity"}:
            return self._credential(request, facts, name=parts[2], what=parts[3])
        node: Leaf | Tree | None = tree_of(facts)
        for part in parts:
            node = node.get(part) if isinstance(node, Mapping) else None
        if node is None:
            return _not_found(request)
        if isinstance(node, Mapping):
            return _folder(request, node)
        if request.path.endswith("/"):
            return _not_found(request)
        if request.query.get("alt") == "json":
            return _json(_value_of(node))
        return HttpResponse(200, _text(node).encode(), _PLAIN, _HEADERS)

    def _credential(self, request: HttpRequest, facts: InstanceFacts, name: str, what: str) -> HttpResponse:
        account = self._identity.account(facts.service_account)
        if account is None or account.disabled or name not in {"default", facts.service_account}:
            return _not_found(request)
        return self._token(request, account) if what == "token" else self._id_token(request, account)

    def _token(self, request: HttpRequest, account: Account) -> HttpResponse:
        scopes = [s for s in request.query.get("scopes", "").replace(",", " ").split() if s] or SCOPES
        token = self._identity.access_token(account.email, scopes)
        return _json({"access_token": token, "expires_in": LIFETIME_SECONDS - 1, "token_type": "Bearer"})

    def _id_token(self, request: HttpRequest, account: Account) -> HttpResponse:
        audience = request.query.get("audience")
        if not audience:
            return text_answer("non-empty audience parameter required\n", 400, _HEADERS)
        # Cloud Run's tokens carry the address in either format.
        token = self._identity.id_token(account, audience)
        return HttpResponse(200, token.encode(), "text/html", _HEADERS)


_ABOVE = {"": "computeMetadata/\n", "/": "computeMetadata/\n", "/computeMetadata/": "v1/\n"}


def _allowed(request: HttpRequest) -> bool:
    flavour = request.headers.get("metadata-flavor", "").lower() == "google"
    return flavour and "x-forwarded-for" not in request.headers


def _folder(request: HttpRequest, tree: Tree) -> HttpResponse:
    if request.query.get("recursive", "").lower() == "true":
        if request.query.get("alt") == "text":
            return HttpResponse(200, _flat(tree).encode(), _PLAIN, _HEADERS)
        return _json(_value_of(tree))
    if not request.path.endswith("/"):
        location = f"http://{request.host}{quote(request.path)}/"
        return text_answer("", 301, {**_HEADERS, "Location": location})
    names = [f"{name}/" if isinstance(value, Mapping) else name for name, value in tree.items()]
    if "email" in tree:
        names = sorted([*names, "identity", "token"])
    return HttpResponse(200, "".join(f"{name}\n" for name in names).encode(), _PLAIN, _HEADERS)


def _flat(tree: Tree, prefix: str = "") -> str:
    """Write a folder as lines of path and value."""
    lines = []
    for name, value in tree.items():
        if isinstance(value, Mapping):
            lines.append(_flat(value, f"{prefix}{name}/"))
        else:
            lines += [f"{prefix}{name} {line}\n" for line in _text(value).splitlines()]
    return "".join(lines)


def _value_of(node: "Leaf | Tree") -> object:
    """Turn a leaf or a folder into JSON, with names in camel case as the server prints them."""
    if isinstance(node, Mapping):
        return {_camel(name): _value_of(value) for name, value in node.items()}
    return list(node) if isinstance(node, tuple) else node


def _camel(name: str) -> str:
    if "@" in name:
        return name
    first, *rest = name.split("-")
    return first + "".join(word.capitalize() for word in rest)


def _text(leaf: Leaf) -> str:
    return leaf if isinstance(leaf, str) else "".join(f"{line}\n" for line in leaf)


def _json(content: object) -> HttpResponse:
    return HttpResponse(
        200, json.dumps(content, separators=(",", ":")).encode(), "application/json", _HEADERS
    )


def _not_found(request: HttpRequest) -> HttpResponse:
    return _page(request, 404, "Not Found", "The requested URL was not found on this server.")


def _page(request: HttpRequest, status: int, title: str, text: str) -> HttpResponse:
    page = (
        f"<!DOCTYPE html>\n<html lang=en>\n<title>Error {status} ({title})!!1</title>\n"
        f"<p><b>{status}.</b> That's an error.\n<p>{text} <code>{html.escape(request.path)}</code>\n"
    )
    return html_answer(page, status, _HEADERS)
