"""Tells a cluster's control plane who a token belongs to and what that account may do.

Kubernetes asks both by webhooks, with objects of its own (TokenReview, SubjectAccessReview), on a loopback
that only the control plane has. So kubectl comes in with any access token of the region's, and IAM's roles
count beside those of the cluster (behaviour/kubernetes-engine.md#access).
"""

import json
import socket
from collections.abc import Callable
from typing import Any

from fogbank.errors import ApiError
from fogbank.frontend.http.asgi import HttpRequest, HttpResponse, application, json_answer, text_answer
from fogbank.lowering.netns_names import instance_netns
from fogbank.network.topology import Listener
from fogbank.resources.authorization import Access
from fogbank.resources.clusters import cluster_of_control_plane
from fogbank.resources.kubernetes_permissions import permission_of
from fogbank.resources.projects import unique_id
from fogbank.resources.world import Json, World
from fogbank.servers.listeners import http_server


class ClusterAccess:
    """Answers the control planes of all clusters.

    ``authenticate`` returns whose an ``Authorization`` header is, or raises Google's 401.
    """

    def __init__(
        self, world: Callable[[], World], authenticate: Callable[[str], str], access: Access
    ) -> None:
        self._world, self._authenticate, self._access = world, authenticate, access

    async def serve(self, listener: Listener, opened: socket.socket) -> None:
        """Serve the control plane of the listener's namespace until cancelled."""
        server = listener.netns.removeprefix(instance_netns(""))

        def answer(request: HttpRequest) -> HttpResponse:
            return self.answer(server, request)

        await http_server(application(answer))(listener, opened)

    def answer(self, server: str, request: HttpRequest) -> HttpResponse:
        """Answer one review of the control plane ``server``."""
        try:
            review = json.loads(request.body)
            spec = review["spec"]
        except (ValueError, KeyError, TypeError):
            return text_answer("The request holds no review.", 400)
        match request.path:
            case "/authenticate":
                status = self._authenticated(spec)
            case "/authorize":
                status = self._allowed(server, spec)
            case _:
                return text_answer("Nothing is served here.", 404)
        return json_answer({key: review.get(key) for key in ("apiVersion", "kind")} | {"status": status})

    def _authenticated(self, spec: Json) -> dict[str, Any]:
        try:
            email = self._authenticate(f"Bearer {spec.get('token', '')}")
        except ApiError as error:
            return {"authenticated": False, "error": error.message}
        return {"authenticated": True, "user": {"username": email, "uid": unique_id(email)}}

    def _allowed(self, server: str, spec: Json) -> dict[str, Any]:
        world, attributes = self._world(), spec.get("resourceAttributes")
        cluster, user = cluster_of_control_plane(world, server), str(spec.get("user", ""))
        if cluster is None or attributes is None or user.startswith("system:"):
            return {"allowed": False}
        permission = permission_of(attributes)
        if self._access.allows(world, user, permission, cluster.name.project):
            return {"allowed": True}
        path = cluster.name.path
        return {"allowed": False, "reason": f'requires one of ["{permission}"] permission(s) on "{path}".'}
