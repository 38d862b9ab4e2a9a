"""The certificates of an instance with transit encryption: an authority of its own, kept beside its data.

Clients get the authority's certificate in ``serverCaCerts``; servers show one for the host's address
(behaviour/memorystore-redis.md#transit-encryption).
"""

from datetime import timedelta

from fogbank.dataplane.linux.data_folders import DataFolders
from fogbank.resources.operations import rfc3339
from fogbank.resources.world import Json
from fogbank.services.redis.controller.configuration import AUTHORITY, CERTIFICATE
from fogbank.services.redis.model import RedisInstance

LIFETIME = timedelta(days=3650)
"""Google's authorities of instances live for ten years."""


def ensure_certificates(data: DataFolders, instance: RedisInstance) -> None:
    """Give every node the authority and a certificate, made once; it blocks. DriverError when it cannot."""
    folders = [each.id for each in instance.nodes]
    if all(data.path(folder, CERTIFICATE).exists() for folder in folders):
        return
    from fogbank.frontend.pki import certificates

    if any(data.path(folder, CERTIFICATE).exists() for folder in folders):
        known = next(each for each in folders if data.path(each, CERTIFICATE).exists())
        for folder in folders:
            for name in (AUTHORITY, CERTIFICATE):
                data.write(folder, name, data.path(known, name).read_bytes())
        return
    key, authority = certificates.new_authority(f"Memorystore {instance.name.id}", LIFETIME)
    names = [str(instance.host), *([str(instance.read_endpoint)] if instance.read_endpoint else [])]
    server = certificates.issue(key, authority, names)
    for folder in folders:
        data.write(folder, AUTHORITY, authority)
        data.write(folder, CERTIFICATE, server)


def shown_certificates(data: DataFolders, instance: RedisInstance) -> list[Json]:
    """Render the authority for clients; none without transit encryption."""
    if not instance.tls:
        return []
    from cryptography import x509

    from fogbank.frontend.pki.certificates import sha1_fingerprint

    pem = data.path(instance.primary.id, AUTHORITY).read_bytes()
    read = x509.load_pem_x509_certificate(pem)
    return [
        {
            "serialNumber": str(read.serial_number),
            "cert": pem.decode(),
            "createTime": rfc3339(read.not_valid_before_utc),
            "expireTime": rfc3339(read.not_valid_after_utc),
            "sha1Fingerprint": sha1_fingerprint(read),
        }
    ]
