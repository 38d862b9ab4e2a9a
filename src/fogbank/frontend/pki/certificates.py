"""X.509: make an authority and issue certificates with it. Imported only when one has to be made.

EC P-256 throughout: a key costs microseconds. The extensions are those that strict verifiers ask for (key
identifiers, critical key usage), so that the newest OpenSSL, Go and Node accept them.
"""

import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_BACKDATED = timedelta(days=1)
"""So that a client whose clock is a little behind accepts a new certificate."""

_WRAPPED_LIFETIME = timedelta(days=16)

_HOST = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")


class BadHostError(ValueError):
    """No certificate can be made for this host, because it is neither a name nor an address."""


def new_authority(name: str, lifetime: timedelta) -> tuple[bytes, bytes]:
    """Make an authority; gives its key and its certificate (PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Fogbank"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _private_pem(key), certificate.public_bytes(serialization.Encoding.PEM)


def issue(
    authority_key: bytes,
    authority_certificate: bytes,
    hosts: Iterable[str],
    lifetime: timedelta | None = None,
) -> bytes:
    """Issue a server's certificate for ``hosts``; gives its key and the chain in one PEM.

    It has a key of its own, and ends after ``lifetime`` or when the authority does. Raises BadHostError.
    """
    issuer_key = serialization.load_pem_private_key(authority_key, None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise ValueError("the authority's key is not an EC key")  # noqa: TRY004 (a bad file, not a bad call)
    issuer = x509.load_pem_x509_certificate(authority_certificate)
    if issuer_key.public_key() != issuer.public_key():
        raise ValueError("the authority's key and certificate do not belong together")
    key = ec.generate_private_key(ec.SECP256R1())
    end = issuer.not_valid_after_utc
    if lifetime is not None:
        end = min(end, datetime.now(UTC) + lifetime)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Fogbank")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(issuer.not_valid_before_utc)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
        .sign(issuer_key, hashes.SHA256())
    )
    return _private_pem(key) + certificate.public_bytes(serialization.Encoding.PEM)


def wrap(public_pem: bytes, name: str, signer_pem: bytes) -> bytes:
    """Wrap a public RSA key called ``name`` in a certificate (PEM), for clients that read keys from those."""
    public = serialization.load_pem_public_key(public_pem)
    signer = serialization.load_pem_private_key(signer_pem, None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(public, rsa.RSAPublicKey) or not isinstance(signer, rsa.RSAPrivateKey):
        raise ValueError("not RSA keys")  # noqa: TRY004 (bad files, not bad calls)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(int(hashlib.sha256(public_pem).hexdigest()[:16], 16))
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _WRAPPED_LIFETIME)
        .sign(signer, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def sha1_fingerprint(certificate: x509.Certificate) -> str:
    """Return the digest by which Google's APIs tell certificates apart, as hex."""
    return certificate.fingerprint(hashes.SHA1()).hex()  # noqa: S303 (a name, it protects nothing)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        pass
    if len(host) > 253 or not _HOST.fullmatch(host):
        raise BadHostError(f"no certificate can be made for the host {host!r}")
    return x509.DNSName(host)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
