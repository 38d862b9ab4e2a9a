"""The certificates and keys of a cluster, from an authority of its own; made once, kept in its folder."""

from datetime import timedelta

from fogbank.dataplane.linux.data_folders import DataFolders
from fogbank.resources.clusters import Cluster
from fogbank.services.container.controller.configuration import (
    ACCOUNTS,
    AUTHORITY,
    CLIENTS,
    PORT,
    SERVER,
    kubeconfig,
    names,
    webhooks,
)

LIFETIME = timedelta(days=3650)


def ensure_files(data: DataFolders, cluster: Cluster) -> None:
    """Make what a control plane reads, before it starts; it blocks. DriverError when it cannot be.

    What a server's certificate names is written first and the authority last: where that is, all is.
    """
    if data.path(cluster.server, AUTHORITY).exists():
        return
    from fogbank.frontend.iam import jwt
    from fogbank.frontend.pki import certificates

    key, authority = certificates.new_authority(f"{cluster.name.id}", LIFETIME)
    here = f"https://127.0.0.1:{PORT}"
    files = {
        SERVER: certificates.issue(key, authority, names(cluster)),
        ACCOUNTS: jwt.new_key_pair().private,
        **webhooks(),
        **{
            file: kubeconfig(here, authority, certificates.issue_client(key, authority, user))
            for file, user in CLIENTS.items()
        },
    }
    data.prepare(cluster.server, files)
    data.prepare(cluster.server, {AUTHORITY: authority})


def authority_of(data: DataFolders, cluster: Cluster) -> bytes:
    """Read the certificate of a cluster's authority (PEM)."""
    return data.path(cluster.server, AUTHORITY).read_bytes()
