"""SSL certificates, self-managed or managed by Google, and SSL policies."""

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fogbank.errors import invalid_value, not_built, required_field
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Json, World
from fogbank.services.compute.bodies import one_of
from fogbank.services.compute.load_balancing.collection import Kind
from fogbank.services.contract import Call

_VERSIONS = ("TLS_1_0", "TLS_1_1", "TLS_1_2")
_PROFILES = ("COMPATIBLE", "MODERN", "RESTRICTED")


def check_pair(certificate: str, key: str, where: tuple[str, str]) -> tuple[list[str], datetime]:
    """Check that a chain and a private key (PEM) belong together; return its DNS names and its end.

    ``where`` names the two fields in refusals.
    """
    try:
        leaf = x509.load_pem_x509_certificates(certificate.encode())[0]
    except ValueError:
        raise invalid_value(where[0], "", "The SSL certificate could not be parsed.") from None
    try:
        private = load_pem_private_key(key.encode(), None)
    except (ValueError, TypeError):
        raise invalid_value(where[1], "", "The SSL key could not be parsed.") from None
    if private.public_key() != leaf.public_key():
        raise invalid_value(where[1], "", "The certificate and the private key do not match.")
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = names.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        hosts = []
    return hosts, leaf.not_valid_after_utc


def _certificate(_world: World, _call: Call, _name: ResourceName, body: Json) -> Json:
    fields: Json = {"description": body.get("description", "")}
    kind = body.get("type") or ("MANAGED" if body.get("managed") else "SELF_MANAGED")
    one_of("resource.type", kind, ("MANAGED", "SELF_MANAGED"))
    if kind == "MANAGED":
        raise not_built("compute.sslCertificates with type=MANAGED (Certificate Manager's are)")
    own = body.get("selfManaged") or {key: body.get(key) for key in ("certificate", "privateKey")}
    for key in ("certificate", "privateKey"):
        if not own.get(key):
            raise required_field(f"resource.{key}")
    where = ("resource.certificate", "resource.privateKey")
    hosts, end = check_pair(own["certificate"], own["privateKey"], where)
    return fields | {
        "type": "SELF_MANAGED",
        "certificate": own["certificate"],
        "selfManaged": {"certificate": own["certificate"]},
        "subjectAlternativeNames": hosts,
        "expireTime": end.isoformat(timespec="milliseconds"),
        "privateKey": own["privateKey"],
    }


def _policy(_world: World, _call: Call, _name: ResourceName, body: Json) -> Json:
    profile, version = body.get("profile") or "COMPATIBLE", body.get("minTlsVersion") or "TLS_1_0"
    if profile in {"CUSTOM", "FIPS_202205"} or body.get("customFeatures"):
        raise not_built(f"compute.sslPolicies with profile={profile}")
    one_of("resource.profile", profile, _PROFILES)
    if version == "TLS_1_3":
        raise not_built("compute.sslPolicies with minTlsVersion=TLS_1_3")
    one_of("resource.minTlsVersion", version, _VERSIONS)
    return {"description": body.get("description", ""), "profile": profile, "minTlsVersion": version}


SSL_CERTIFICATES = Kind(
    "sslCertificates",
    "sslCertificate",
    "ssl_certificate",
    frozenset({"name", "description", "type", "selfManaged", "managed", "certificate", "privateKey"}),
    _certificate,
    methods_global="sslCertificates",
    methods_regional="regionSslCertificates",
    changes=(),
    outputs=frozenset({"subjectAlternativeNames", "expireTime"}),
    secrets=frozenset({"privateKey"}),
    untested=frozenset({"sslCertificates", "regionSslCertificates"}),
)
SSL_POLICIES = Kind(
    "sslPolicies",
    "sslPolicy",
    "ssl_policy",
    frozenset({"name", "description", "profile", "minTlsVersion", "customFeatures"}),
    _policy,
    methods_global="sslPolicies",
    methods_regional="regionSslPolicies",
    changes=("patch",),
    fingerprinted=True,
    outputs=frozenset({"enabledFeatures", "warnings"}),
)
METHODS = {**SSL_CERTIFICATES.methods(), **SSL_POLICIES.methods()}
