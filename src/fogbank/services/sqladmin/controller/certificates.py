"""The certificate of a server, from an authority of its own that clients get as ``serverCaCert``."""

from datetime import timedelta

from fogbank.dataplane.linux.data_folders import DataFolders
from fogbank.resources.operations import rfc3339
from fogbank.resources.world import Json
from fogbank.services.sqladmin.controller.configuration import AUTHORITY, CERTIFICATE
from fogbank.services.sqladmin.model import SqlInstance

LIFETIME = timedelta(days=3650)


def ensure_certificate(data: DataFolders, instance: SqlInstance) -> None:
    """Give a server its certificate, made once; it blocks. DriverError when it cannot be."""
    if data.path(instance.server, CERTIFICATE).exists():
        return
    from fogbank.frontend.pki import certificates

    key, authority = certificates.new_authority(f"Google Cloud SQL Server CA {instance.name.id}", LIFETIME)
    data.write(instance.server, AUTHORITY, authority)
    data.write(instance.server, CERTIFICATE, certificates.issue(key, authority, [str(instance.address)]))


def shown_certificate(data: DataFolders, instance: SqlInstance) -> Json:
    """Render the authority for clients."""
    from cryptography import x509

    from fogbank.frontend.pki.certificates import sha1_fingerprint

    pem = data.path(instance.server, AUTHORITY).read_bytes()
    read = x509.load_pem_x509_certificate(pem)
    return {
        "kind": "sql#sslCert",
        "certSerialNumber": str(read.serial_number),
        "cert": pem.decode(),
        "commonName": read.subject.rfc4514_string(),
        "sha1Fingerprint": sha1_fingerprint(read),
        "instance": instance.name.id,
        "createTime": rfc3339(read.not_valid_before_utc),
        "expirationTime": rfc3339(read.not_valid_after_utc),
    }
