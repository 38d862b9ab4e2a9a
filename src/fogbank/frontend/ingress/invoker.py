"""Who may send a request to a Cloud Run service: checked before the container sees anything.

A service is open when everybody may invoke it; else the caller shows an ID token that this region issued for
one of the service's addresses, and its owner needs the permission (behaviour/cloud-run.md#invokers).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from fogbank.frontend.iam.accounts import GCLOUD_CLIENT
from fogbank.frontend.iam.identity import Identity
from fogbank.frontend.iam.jwt import BadTokenError, Claims
from fogbank.resources.names import ResourceName
from fogbank.resources.policies import INVOKE
from fogbank.resources.run import POLICIES, RunService
from fogbank.resources.world import Json, Resource

CUSTOM_AUDIENCES = "run.googleapis.com/custom-audiences"
REMOVED = "SIGNATURE_REMOVED_BY_GOOGLE"
"""What a container sees in place of a signature, so that it cannot replay its callers' tokens."""

_HEADERS = ("x-serverless-authorization", "authorization")


@dataclass(frozen=True, slots=True)
class Admitted:
    """The caller may pass; ``header`` is the one that carried the token, if a token was needed."""

    header: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The caller may not: 401 for a token that cannot be verified, 403 for want of one or of permission."""

    status: int
    why: str


def check(
    resource: Resource, service: RunService, headers: Mapping[str, str], identity: Identity
) -> Admitted | Refused:
    """Decide whether a request with ``headers`` may reach the ``service`` that ``resource`` is."""
    guarded = ResourceName(POLICIES, service.name.path)
    if not service.iam_check or identity.directory.invokes(None, INVOKE, guarded):
        return Admitted()
    header = next((name for name in _HEADERS if name in headers), None)
    if header is None:
        return Refused(
            403,
            "The request was not authenticated. Either allow unauthenticated invocations or set the proper "
            "Authorization header.",
        )
    try:
        claims = _claims(headers[header], identity, _audiences(resource.body, service))
    except BadTokenError as error:
        return Refused(401, f"The access token could not be verified: {error}.")
    if not identity.directory.invokes(identity.principal(claims), INVOKE, guarded):
        return Refused(403, "The caller has no permission run.routes.invoke on this service.")
    return Admitted(header)


def _claims(authorization: str, identity: Identity, audiences: frozenset[str]) -> Claims:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise BadTokenError("not a bearer token")
    claims = identity.verify_id_token(token.strip())
    if claims.get("aud") not in audiences:
        raise BadTokenError("meant for another audience")
    return claims


def without_signature(authorization: str) -> str:
    """Replace the signature of a token."""
    head, dot, _ = authorization.rpartition(".")
    return f"{head}.{REMOVED}" if dot else authorization


def _audiences(body: Json, service: RunService) -> frozenset[str]:
    annotations = body["metadata"].get("annotations", {})
    custom = json.loads(annotations.get(CUSTOM_AUDIENCES, "[]"))
    urls = {service.url, *service.urls}
    return frozenset({GCLOUD_CLIENT, *custom, *urls, *(f"{url}/" for url in urls)})
