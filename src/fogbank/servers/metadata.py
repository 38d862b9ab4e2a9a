"""The metadata server: what an instance may know about itself, at http://169.254.169.254.

A caller is known by the address that it comes from, which nobody else in its network can take. Values
are a tree; a path names a leaf or, with a slash at its end, a folder that is listed
(behaviour/cloud-run.md#container).
"""

import asyncio
import hashlib
import html
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import AddressValueError, IPv4Address
from urllib.parse import quote

from fogbank.frontend.http.asgi import (
    Application,
    HttpRequest,
    HttpResponse,
    Receive,
    Scope,
    Send,
    TooLargeError,
    html_answer,
    read_request,
    respond,
    text_answer,
)
from fogbank.frontend.iam.accounts import Account
from fogbank.frontend.iam.identity import Identity
from fogbank.frontend.iam.tokens import CLOUD_PLATFORM, LIFETIME_SECONDS
from fogbank.servers.machine_metadata import MachineFacts, machine_tree
from fogbank.servers.metadata_tree import Tree, find, flat, listing, text_of, value_of

SCOPES = (CLOUD_PLATFORM, "https://www.googleapis.com/auth/userinfo.email")
"""What an instance's tokens are good for, unless it asks for less."""

_ROOT = "/computeMetadata/v1/"
_HEADERS = {"Metadata-Flavor": "Google", "Server": "Metadata Server for Serverless"}
_MACHINE_HEADERS = {"Metadata-Flavor": "Google", "Server": "Metadata Server for VM"}
_PLAIN = "application/text"
_GUEST_ATTRIBUTE = re.compile(r"[A-Za-z0-9_-]+/[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """What the metadata server tells one instance; ``service_account`` is an e-mail address."""

    instance_id: str
    project: str
    project_number: str
    region: str
    service_account: str

    @property
    def accounts(self) -> Mapping[str, tuple[str, ...]]:
        """The scopes of its service account, by e-mail address."""
        return {self.service_account: SCOPES}


Facts = InstanceFacts | MachineFacts
Publish = Callable[[MachineFacts, str, str | None], Awaitable[None]]
"""Keeps a guest attribute of a machine (``NAMESPACE/KEY``), or removes it (None)."""


async def _keep_nothing(_facts: MachineFacts, _path: str, _value: str | None) -> None:
    """Keep nothing: serverless instances have no guest attributes."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks: ``facts`` tells which instance has an address; ``changed`` returns when something changed."""

    facts: Callable[[IPv4Address], Facts | None]
    changed: Callable[[], Awaitable[object]] = asyncio.Event().wait
    publish: Publish = _keep_nothing


def metadata_application(identity: Identity, asking: Asking) -> Application:
    """Make the ASGI application; a request may wait for a change, and a machine may publish attributes."""
    server = Metadata(identity, asking.facts)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            request = await read_request(scope, receive)
        except TooLargeError:
            await respond(send, text_answer("The request is too large.\n", 413))
            return
        if request.method in {"PUT", "DELETE"}:
            await respond(send, await server.write(request, asking.publish))
            return
        answer = server.answer(request)
        if request.query.get("wait_for_change", "").lower() == "true" and answer.status == 200:
            answer = await _changed(server, request, answer, asking.changed, receive)
        await respond(send, answer)

    return serve


async def _changed(
    server: "Metadata",
    request: HttpRequest,
    answer: HttpResponse,
    changed: Callable[[], Awaitable[object]],
    receive: Receive,
) -> HttpResponse:
    """Answer when there is something else than the client knows, or its time is over, or it has gone.

    See behaviour/compute-machines.md#metadata.
    """
    last = request.query.get("last_etag") or answer.headers["ETag"]
    seconds = request.query.get("timeout_sec", "")
    deadline = asyncio.get_running_loop().time() + int(seconds) if seconds.isdecimal() else None
    gone = asyncio.ensure_future(receive())
    try:
        while answer.headers.get("ETag") == last and not gone.done():
            change = asyncio.ensure_future(changed())
            left = None if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time())
            try:
                done, _ = await asyncio.wait(
                    {gone, change}, timeout=left, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                change.cancel()
            if not done:
                break
            answer = server.answer(request)
    finally:
        gone.cancel()
    return answer


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

    def __init__(self, identity: Identity, facts_of: Callable[[IPv4Address], Facts | None]) -> None:
        self._identity, self._facts_of = identity, facts_of

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer one request that reads."""
        facts = self._facts(request.client)
        headers = _MACHINE_HEADERS if isinstance(facts, MachineFacts) else _HEADERS
        if request.method not in {"GET", "HEAD"}:
            return _page(request, 405, "Method Not Allowed", "The request method is not allowed.")
        if request.path in _ABOVE:
            return text_answer(_ABOVE[request.path], headers=headers)
        if not _allowed(request):
            return _forbidden(request)
        if facts is None or not request.path.startswith(_ROOT):
            return _not_found(request)
        answer = self._value(request, facts, headers)
        tag = hashlib.sha256(answer.body).hexdigest()[:16]
        return replace(answer, headers={**answer.headers, "ETag": tag})

    async def write(self, request: HttpRequest, publish: Publish) -> HttpResponse:
        """Answer one request that writes or removes a guest attribute."""
        facts = self._facts(request.client)
        if not _allowed(request):
            return _forbidden(request)
        folder, _, path = request.path.partition(f"{_ROOT}instance/guest-attributes/")
        if folder or not isinstance(facts, MachineFacts):
            return _page(request, 405, "Method Not Allowed", "The request method is not allowed.")
        if not facts.publishes:
            return _page(request, 403, "Forbidden", "Guest attributes are not enabled.")
        if not _GUEST_ATTRIBUTE.fullmatch(path):
            return _not_found(request)
        deleted = request.method == "DELETE"
        await publish(facts, path, None if deleted else request.body.decode(errors="replace"))
        return text_answer("", 200, _MACHINE_HEADERS)

    def _facts(self, client: str) -> Facts | None:
        try:
            return self._facts_of(IPv4Address(client))
        except AddressValueError:
            return None

    def _value(self, request: HttpRequest, facts: Facts, headers: Mapping[str, str]) -> HttpResponse:
        path = request.path.removeprefix(_ROOT)
        parts = [part for part in path.split("/") if part]
        if len(parts) == 4 and parts[1] == "service-accounts" and parts[3] in {"token", "identity"}:
            return self._credential(request, facts, name=parts[2], what=parts[3])
        tree = machine_tree(facts) if isinstance(facts, MachineFacts) else tree_of(facts)
        node = find(tree, path)
        if node is None:
            return _not_found(request)
        if isinstance(node, Mapping):
            return _folder(request, node, headers)
        if request.path.endswith("/"):
            return _not_found(request)
        if request.query.get("alt") == "json":
            return _json(value_of(node), headers)
        return HttpResponse(200, text_of(node).encode(), _PLAIN, headers)

    def _credential(self, request: HttpRequest, facts: Facts, name: str, what: str) -> HttpResponse:
        accounts = facts.accounts
        email = next(iter(accounts), "") if name == "default" else name
        account = self._identity.account(email) if email in accounts else None
        if account is None or account.disabled:
            return _not_found(request)
        if what == "identity":
            return self._id_token(request, account)
        return self._token(request, account, accounts[email])

    def _token(self, request: HttpRequest, account: Account, scopes: tuple[str, ...]) -> HttpResponse:
        wanted = tuple(s for s in request.query.get("scopes", "").replace(",", " ").split() if s)
        token = self._identity.access_token(account.email, wanted or scopes)
        return _json({"access_token": token, "expires_in": LIFETIME_SECONDS - 1, "token_type": "Bearer"})

    def _id_token(self, request: HttpRequest, account: Account) -> HttpResponse:
        audience = request.query.get("audience")
        if not audience:
            return text_answer("non-empty audience parameter required\n", 400, _HEADERS)
        # Cloud Run's tokens carry the address in either format.
        token = self._identity.id_token(account, audience)
        return HttpResponse(200, token.encode(), "text/html", _HEADERS)


_ABOVE = {"": "computeMetadata/\n", "/": "computeMetadata/\n", "/computeMetadata/": "v1/\n"}


def _forbidden(request: HttpRequest) -> HttpResponse:
    return _page(
        request,
        403,
        "Forbidden",
        "Your client does not have permission to get this URL from this server. "
        "Missing Metadata-Flavor:Google header.",
    )


def _allowed(request: HttpRequest) -> bool:
    flavour = request.headers.get("metadata-flavor", "").lower() == "google"
    return flavour and "x-forwarded-for" not in request.headers


def _folder(request: HttpRequest, tree: Tree, headers: Mapping[str, str]) -> HttpResponse:
    if request.query.get("recursive", "").lower() == "true":
        if request.query.get("alt") == "text":
            return HttpResponse(200, flat(tree).encode(), _PLAIN, headers)
        return _json(value_of(tree), headers)
    if not request.path.endswith("/"):
        location = f"http://{request.host}{quote(request.path)}/"
        return text_answer("", 301, {**headers, "Location": location})
    return HttpResponse(200, listing(tree).encode(), _PLAIN, headers)


def _json(content: object, headers: Mapping[str, str] = _HEADERS) -> HttpResponse:
    text = json.dumps(content, separators=(",", ":"))
    return HttpResponse(200, text.encode(), "application/json", headers)


def _not_found(request: HttpRequest) -> HttpResponse:
    return _page(request, 404, "Not Found", "The requested URL was not found on this server.")


def _page(request: HttpRequest, status: int, title: str, text: str) -> HttpResponse:
    page = (
        f"<!DOCTYPE html>\n<html lang=en>\n<title>Error {status} ({title})!!1</title>\n"
        f"<p><b>{status}.</b> That's an error.\n<p>{text} <code>{html.escape(request.path)}</code>\n"
    )
    return html_answer(page, status, _HEADERS)
