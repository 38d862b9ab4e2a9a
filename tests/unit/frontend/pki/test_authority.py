"""The certificate authority, as TLS clients see it."""

import socket
import ssl
import stat
import subprocess
import sys
from datetime import timedelta
from threading import Thread

import pytest

from fogbank.errors import OperatorError
from fogbank.frontend.pki import authority, certificates
from fogbank.frontend.pki.authority import GOOGLE_HOSTS, covered, open_authority, write_bundle


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("region") / "authority"


@pytest.fixture(scope="module")
def opened(folder):
    return open_authority(folder, folder / "bundle.pem", "default")


def _shake(server: ssl.SSLContext, roots, host: str) -> str | None:
    """Shake hands in memory and give the protocol that both chose."""
    client = ssl.create_default_context(cafile=str(roots))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    client.set_alpn_protocols(["http/1.1"])
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=host)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for end in (near, far):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    near.do_handshake()
    return near.selected_alpn_protocol()


@pytest.mark.parametrize(
    "host",
    [
        "compute.googleapis.com",
        "asia-northeast3-run.googleapis.com",
        "compute.us-central1.rep.googleapis.com",
        "accounts.google.com",
        "production-123456789012.asia-northeast3.run.app",
        "production-abcdefghij-du.a.run.app",
        "us-docker.pkg.dev",
        "ifconfig.me",
        "partner.example.com",
        "192.0.2.33",
    ],
)
def test_strict_clients_accept_the_certificate_of_every_host(opened, folder, host):
    assert _shake(opened.tls_context(host), folder / "bundle.pem", host) == "http/1.1"


def test_one_listener_serves_many_hosts_by_their_names(opened, folder):
    listener = opened.listener_context()
    for host in ("run.googleapis.com", "api.ipify.org"):
        assert _shake(listener, folder / "bundle.pem", host) == "http/1.1"


def test_a_host_has_one_context_and_googles_hosts_share_theirs(opened):
    assert opened.tls_context("run.googleapis.com") is opened.tls_context("Compute.googleapis.com.")
    assert opened.tls_context("a.example") is opened.tls_context("a.example")
    assert opened.tls_context("a.example") is not opened.tls_context("b.example")


def test_a_wildcard_stands_for_one_label():
    assert covered("run.googleapis.com")
    assert not covered("a.b.googleapis.com")
    assert not covered("evil-googleapis.com")


@pytest.mark.parametrize("host", ["", "a b", "x" * 300, "-"])
def test_what_is_no_host_gets_no_certificate(opened, host):
    with pytest.raises(certificates.BadHostError):
        opened.issue([host])


def test_only_the_owner_reads_keys(opened, folder):
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = list(folder.iterdir())
    assert len(files) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_an_open_folder_is_closed(tmp_path):
    (tmp_path / "authority").mkdir(mode=0o755)
    open_authority(tmp_path / "authority", tmp_path / "bundle.pem", "default")
    assert stat.S_IMODE((tmp_path / "authority").stat().st_mode) == 0o700


def test_the_second_start_makes_nothing_and_needs_no_cryptography(opened, folder):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    script = (
        "import sys, pathlib; from fogbank.frontend.pki.authority import open_authority;"
        "folder = pathlib.Path(sys.argv[1]);"
        "open_authority(folder, folder / 'bundle.pem', 'default').tls_context('run.googleapis.com');"
        "sys.exit('cryptography' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script, folder], check=True)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_the_bundle_is_the_systems_roots_and_then_our_own(opened, folder, tmp_path):
    roots = tmp_path / "roots.crt"
    roots.write_text("SYSTEM")
    write_bundle(tmp_path / "bundle.pem", opened.certificate, [tmp_path / "absent", roots])
    text = (tmp_path / "bundle.pem").read_text()
    assert text == "SYSTEM\n" + opened.certificate.read_text()


def test_without_system_roots_the_bundle_is_our_own(opened, tmp_path):
    write_bundle(tmp_path / "bundle.pem", opened.certificate, [])
    assert (tmp_path / "bundle.pem").read_text() == opened.certificate.read_text()


def test_an_expired_authority_is_refused_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(authority, "LIFETIME", timedelta(hours=-1))
    with pytest.raises(OperatorError, match=r"expired on .* Delete that folder"):
        open_authority(tmp_path / "authority", tmp_path / "bundle.pem", "default")


@pytest.mark.parametrize("damaged", ["ca.pem", "google-*.pem"])
def test_a_damaged_file_is_refused_with_the_remedy(tmp_path, damaged):
    folder = tmp_path / "authority"
    open_authority(folder, tmp_path / "bundle.pem", "default")
    (path,) = folder.glob(damaged)
    path.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n")
    with pytest.raises(OperatorError, match="Delete that folder"):
        open_authority(folder, tmp_path / "bundle.pem", "default")


def test_a_damaged_key_is_found_when_a_certificate_is_needed(tmp_path):
    folder = tmp_path / "authority"
    open_authority(folder, tmp_path / "bundle.pem", "default")
    (folder / "ca.key").write_text("nonsense")
    again = open_authority(folder, tmp_path / "bundle.pem", "default")
    with pytest.raises(OperatorError, match="Delete that folder"):
        again.tls_context("partner.example.com")


def test_a_lost_half_makes_a_new_authority_whole(tmp_path):
    folder = tmp_path / "authority"
    open_authority(folder, tmp_path / "bundle.pem", "default")
    (folder / "ca.key").unlink()
    again = open_authority(folder, tmp_path / "bundle.pem", "default")
    _shake(again.tls_context("run.googleapis.com"), tmp_path / "bundle.pem", "run.googleapis.com")


def test_openssl_and_a_real_socket_agree(opened, folder):
    context = opened.tls_context("run.googleapis.com")

    def serve():
        connection, _ = listener.accept()
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=serve)
        thread.start()
        done = subprocess.run(
            [
                *("openssl", "s_client", "-connect", f"127.0.0.1:{listener.getsockname()[1]}"),
                *("-servername", "run.googleapis.com", "-CAfile", str(folder / "bundle.pem")),
                *("-verify_return_error", "-x509_strict", "-verify_hostname", "run.googleapis.com"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=30,
            check=False,
        )
        thread.join()
    assert b"Verify return code: 0 (ok)" in done.stdout


def test_the_certificate_names_every_region():
    assert "*.asia-northeast3.run.app" in GOOGLE_HOSTS
    assert "*.us-central1.rep.googleapis.com" in GOOGLE_HOSTS
