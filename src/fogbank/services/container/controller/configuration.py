"""How a control plane is started, purely: its programs, in order, and the files that they read.

One process supervises all (``dataplane/linux/kubernetes/main.go``); etcd keeps everything in the cluster's
data folder, so a region that starts again has its clusters as they were.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from fogbank.network.elements import DataFolder
from fogbank.resources.clusters import ACCESS_ADDRESS, ACCESS_PORT, Cluster
from fogbank.resources.fleet import Container
from fogbank.resources.server_images import KUBERNETES

FOLDER = "/data"
PORT = 443
AUTHORITY, SERVER, ACCOUNTS = "ca.pem", "server.pem", "accounts.pem"
AUTHENTICATION, AUTHORIZATION = "authentication.yaml", "authorization.yaml"
CONTROLLERS, SCHEDULER = "controller-manager.kubeconfig", "scheduler.kubeconfig"
CLIENTS: Mapping[str, str] = {
    CONTROLLERS: "system:kube-controller-manager",
    SCHEDULER: "system:kube-scheduler",
}
"""The user that each of the control plane's own programs is."""

_ETCD = "127.0.0.1:2379"
_ROOT_BYTES = 64 * 1024 * 1024
_QUIET = "--v=1"


def container(cluster: Cluster) -> Container:
    """Make the container of a control plane."""
    return Container(
        image=KUBERNETES,
        ports=(PORT,),
        command=("/usr/bin/kubernetes", "supervise", json.dumps(list(programs(cluster)))),
        environment=(("GOGC", "50"),),
        memory_bytes=_ROOT_BYTES,
        data=(DataFolder(cluster.server, FOLDER),),
    )


def programs(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """List the programs with what they listen on: each starts when the one before does."""
    yield {"Arguments": ["etcd", *_etcd()], "Listens": _ETCD}
    yield {"Arguments": ["apiserver", *_apiserver(cluster)], "Listens": f"127.0.0.1:{PORT}"}
    yield {"Arguments": ["controller-manager", *_controllers()], "Listens": ""}
    yield {"Arguments": ["scheduler", *_scheduler()], "Listens": ""}


def _etcd() -> Iterator[str]:
    yield f"--data-dir={FOLDER}/etcd"
    yield from (f"--listen-client-urls=http://{_ETCD}", f"--advertise-client-urls=http://{_ETCD}")
    yield from ("--listen-peer-urls=http://127.0.0.1:2380", "--log-level=error")


def _apiserver(cluster: Cluster) -> Iterator[str]:
    yield from (f"--etcd-servers=http://{_ETCD}", f"--secure-port={PORT}", "--bind-address=0.0.0.0")
    yield f"--advertise-address={cluster.endpoint}"
    yield from (f"--tls-cert-file={FOLDER}/{SERVER}", f"--tls-private-key-file={FOLDER}/{SERVER}")
    yield f"--client-ca-file={FOLDER}/{AUTHORITY}"
    yield from (
        f"--service-account-issuer={cluster.issuer}",
        f"--service-cluster-ip-range={cluster.services}",
    )
    yield f"--service-account-key-file={FOLDER}/{ACCOUNTS}"
    yield f"--service-account-signing-key-file={FOLDER}/{ACCOUNTS}"
    yield f"--authentication-token-webhook-config-file={FOLDER}/{AUTHENTICATION}"
    yield from ("--authentication-token-webhook-version=v1", "--authentication-token-webhook-cache-ttl=10s")
    yield "--authorization-mode=Node,RBAC,Webhook"
    yield f"--authorization-webhook-config-file={FOLDER}/{AUTHORIZATION}"
    yield from ("--authorization-webhook-version=v1", "--authorization-webhook-cache-authorized-ttl=10s")
    yield "--authorization-webhook-cache-unauthorized-ttl=1s"
    yield from ("--enable-admission-plugins=NodeRestriction", "--endpoint-reconciler-type=none", _QUIET)


def _controllers() -> Iterator[str]:
    yield from (f"--kubeconfig={FOLDER}/{CONTROLLERS}", "--leader-elect=false", "--bind-address=127.0.0.1")
    yield "--use-service-account-credentials=true"
    yield from (
        f"--service-account-private-key-file={FOLDER}/{ACCOUNTS}",
        f"--root-ca-file={FOLDER}/{AUTHORITY}",
    )
    yield _QUIET


def _scheduler() -> Iterator[str]:
    yield from (
        f"--kubeconfig={FOLDER}/{SCHEDULER}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        _QUIET,
    )


def names(cluster: Cluster) -> tuple[str, ...]:
    """List the names and addresses under which clients know the control plane."""
    inside = "kubernetes.default.svc"
    parts = inside.split(".")
    short = (".".join(parts[:n]) for n in range(1, len(parts) + 1))
    return (str(cluster.endpoint), "127.0.0.1", str(cluster.services[1]), *short, f"{inside}.cluster.local")


def webhooks() -> Mapping[str, bytes]:
    """Write where the control plane asks who callers are and what they may do."""
    base = f"http://{ACCESS_ADDRESS}:{ACCESS_PORT}"
    return {
        AUTHENTICATION: kubeconfig(f"{base}/authenticate"),
        AUTHORIZATION: kubeconfig(f"{base}/authorize"),
    }


def kubeconfig(server: str, authority: bytes = b"", client: bytes = b"") -> bytes:
    """Write a kubeconfig; ``client`` is a key and a certificate in one PEM."""
    shown = base64.b64encode(client).decode()
    user = {"client-certificate-data": shown, "client-key-data": shown} if client else {}
    trust = {"certificate-authority-data": base64.b64encode(authority).decode()} if authority else {}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": {"server": server, **trust}}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "context", "context": {"cluster": "cluster", "user": "user"}}],
        "current-context": "context",
    }
    return json.dumps(config).encode()
