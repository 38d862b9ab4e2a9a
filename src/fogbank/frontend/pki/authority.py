"""The region's own certificate authority, and a TLS context for every host that a client may ask for.

Made once, then only reloaded: one certificate covers all of Google's hosts by wildcards, so that a start
needs no cryptography at all. Other hosts (third parties, addresses) get a certificate when somebody first
asks for them. All certificates end with the authority. The machine's own clock rules here and not the
region's, because it is the clients who check.
"""

import hashlib
import ssl
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fogbank.errors import OperatorError
from fogbank.frontend.pki.secret_files import private_folder, read_private, write_private
from fogbank.resources.places import REGIONS

LIFETIME = timedelta(days=3650)
HTTP_ALPN = ("h2", "http/1.1")

_EVERYWHERE = (
    "*.googleapis.com",
    "googleapis.com",
    "accounts.google.com",
    "www.google.com",
    "console.cloud.google.com",
    "metadata.google.internal",
    "*.a.run.app",
    "*.pkg.dev",
    "gcr.io",
    "*.gcr.io",
    "*.cloudproxy.app",
)
GOOGLE_HOSTS = (
    *_EVERYWHERE,
    *(f"*.{region}.run.app" for region in REGIONS),
    *(f"*.{region}.rep.googleapis.com" for region in REGIONS),
)
"""The names in the certificate that is made at the start."""

SYSTEM_ROOTS = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/ca-bundle.pem"),
    Path("/etc/ssl/cert.pem"),
)
"""Where distributions keep their roots. The environment is not asked: it may name a region's bundle."""

_KEPT_CONTEXTS = 256


class Authority:
    """Certificates for one region, from the files in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._contexts: dict[tuple[str, tuple[str, ...]], ssl.SSLContext] = {}

    @property
    def certificate(self) -> Path:
        """The authority's own certificate (PEM)."""
        return self._folder / "ca.pem"

    @property
    def _key(self) -> Path:
        return self._folder / "ca.key"

    @property
    def _google(self) -> Path:
        """The key and certificate for GOOGLE_HOSTS; other names make it another file."""
        mark = hashlib.sha256(" ".join(GOOGLE_HOSTS).encode()).hexdigest()[:12]
        return self._folder / f"google-{mark}.pem"

    def tls_context(self, host: str, alpn: tuple[str, ...] = HTTP_ALPN) -> ssl.SSLContext:
        """Return the server's context for ``host`` (a name or an address), the same one every time."""
        host = host.strip("[]").rstrip(".").lower()
        name = "" if covered(host) else host
        context = self._contexts.get((name, alpn))
        if context is None:
            context = self._new_context(name, alpn)
            if len(self._contexts) >= _KEPT_CONTEXTS:
                del self._contexts[next(iter(self._contexts))]
            self._contexts[name, alpn] = context
        return context

    def context_for_site(self, host: str) -> ssl.SSLContext:
        """Return the context of a third party, which speaks HTTP/1.1."""
        return self.tls_context(host, ("http/1.1",))

    def listener_context(self, alpn: tuple[str, ...] = HTTP_ALPN) -> ssl.SSLContext:
        """Make the context of a port that serves many hosts: the client's hello chooses the certificate."""
        context = self._new_context("", alpn)

        def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            if name:
                connection.context = self.tls_context(name, alpn)

        context.sni_callback = choose
        return context

    def _new_context(self, host: str, alpn: tuple[str, ...]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(list(alpn))
        if not host:
            context.load_cert_chain(self._google)
            return context
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".leaf-") as file:  # made 0600
            file.write(self.issue([host]))
            file.flush()
            context.load_cert_chain(file.name)
        return context

    def issue(self, hosts: Iterable[str], lifetime: timedelta | None = None) -> bytes:
        """Issue a certificate for ``hosts``, for a ``lifetime`` or as long as the authority's own.

        Gives its key and the chain in one PEM; OperatorError when the authority's files make no sense.
        """
        from fogbank.frontend.pki import certificates

        try:
            return certificates.issue(self._key.read_bytes(), self.certificate.read_bytes(), hosts, lifetime)
        except (OSError, ValueError) as error:
            if isinstance(error, certificates.BadHostError):
                raise
            raise _broken(self._folder, str(error)) from error

    def prepare(self, region: str) -> None:
        """Make what is missing, check what is there; OperatorError when it has expired or makes no sense."""
        private_folder(self._folder)
        if read_private(self._key) is None or read_private(self.certificate) is None:
            self._create(region)
        self._check()
        if not self._google.exists():
            write_private(self._google, self.issue(GOOGLE_HOSTS))
        try:
            self.tls_context("googleapis.com")
        except ssl.SSLError as error:
            raise _broken(self._folder, f"{self._google.name}: {error}") from error

    def _create(self, region: str) -> None:
        from fogbank.frontend.pki import certificates

        for stale in self._folder.glob("google-*.pem"):
            stale.unlink()
        key, certificate = certificates.new_authority(f"Fogbank region {region}", LIFETIME)
        write_private(self._key, key)
        write_private(self.certificate, certificate)

    def _check(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(self.certificate)
            (certificate,) = context.get_ca_certs()
            end = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
        except (ssl.SSLError, ValueError, KeyError) as error:
            raise _broken(self._folder, f"{self.certificate.name}: {error}") from error
        if end <= datetime.now(UTC):
            raise _broken(self._folder, f"it expired on {end:%Y-%m-%d}")


def open_authority(folder: Path, bundle: Path, region: str) -> Authority:
    """Load the authority of ``region``, made now when it is missing, and write the bundle for clients."""
    authority = Authority(folder)
    authority.prepare(region)
    write_bundle(bundle, authority.certificate)
    return authority


def covered(host: str) -> bool:
    """Return whether the certificate for Google's hosts serves ``host``; a wildcard stands for one label."""
    return host in _COVERED or "*." + host.partition(".")[2] in _COVERED


_COVERED = frozenset(GOOGLE_HOSTS)


def write_bundle(bundle: Path, certificate: Path, roots: Iterable[Path] = SYSTEM_ROOTS) -> None:
    """Write the system's roots, where there are any, and then the region's own; only when one is newer."""
    system = next((path for path in roots if path.is_file()), None)
    sources = [path for path in (system, certificate) if path]
    with suppress(FileNotFoundError):
        written = bundle.stat().st_mtime_ns
        if all(path.stat().st_mtime_ns < written for path in sources):
            return
    write_private(bundle, b"\n".join(path.read_bytes().rstrip() for path in sources) + b"\n")


def _broken(folder: Path, why: str) -> OperatorError:
    return OperatorError(
        f"The certificate authority in {folder} cannot be used: {why}. Delete that folder and start the "
        'region again; then renew the settings of open shells: eval "$(fogbank env)".'
    )
