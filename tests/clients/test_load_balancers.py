"""Load balancers, from the reserved address to a machine's page: real gcloud, real TLS, real probes.

One region with two machines, whose pages say what they were asked and by whom.
"""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any, Self

import pytest
from tests.loaded_gcloud import LoadedRegion, load_gcloud
from tests.waiting import wait_until

from fogbank.testing import end_region, fetch_servers, short_folder, start_region

pytestmark = [pytest.mark.slow(45), pytest.mark.netns, pytest.mark.xdist_group("load-balancers")]

REGION, ZONE = "asia-northeast3", "asia-northeast3-a"
V1 = "https://compute.googleapis.com/compute/v1/projects/demo"
PATIENCE = 60.0
PAGES = """#!/usr/bin/python3
import http.server, json, socket, socketserver, threading
class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        seen = {"machine": socket.gethostname().partition(".")[0], "path": self.path,
                "client": self.client_address[0], "headers": {k.lower(): v for k, v in self.headers.items()}}
        body = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
class Line(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"heard " + self.rfile.readline())
pages, lines = http.server.ThreadingHTTPServer(("", 80), Page), socketserver.ThreadingTCPServer(("", 7), Line)
for server in (pages, lines):
    threading.Thread(target=server.serve_forever).start()
print("pages are ready", flush=True)
"""


class Site:
    """The region, and the parts of a load balancer that its tests share."""

    def __init__(self, region: LoadedRegion) -> None:
        self.region = region
        self.address = ""

    def compute(self, *command: str) -> str:
        return self.region.gcloud("compute", *command).stdout

    def certificates(self, *command: str) -> str:
        return self.region.gcloud("certificate-manager", *command).stdout

    def read(self, *command: str) -> Any:
        return self.region.gcloud_json(*command)

    def health(self, service: str) -> list[str]:
        """List the states of a backend service's endpoints."""
        (group,) = self.read("compute", "backend-services", "get-health", service, "--global")
        return [each["healthState"] for each in group["status"].get("healthStatus", ())]

    def fetch(self, url: str, *options: str) -> tuple[int, Any]:
        """Fetch a page as this machine's clients do, through the region's proxy; give status and body."""
        answer = self.region.curl("-m", "10", "-w", "\\n%{http_code}", *options, url)
        body, _, status = answer.rpartition("\n")
        return int(status), json.loads(body) if body.startswith("{") else body

    def wrote(self, machine: str, text: str) -> None:
        url = f"{V1}/zones/{ZONE}/instances/{machine}/serialPort?port=1"
        wait_until(lambda: text in self.region.api("GET", url)[1].get("contents", ""), PATIENCE)

    def group(self, name: str, machine: str, port: int) -> None:
        """Make a group with one endpoint."""
        kind = ("--network-endpoint-type=gce-vm-ip-port", "--network=default", "--subnet=default")
        self.compute("network-endpoint-groups", "create", name, f"--zone={ZONE}", *kind)
        endpoint = f"--add-endpoint=instance={machine},port={port}"
        self.compute("network-endpoint-groups", "update", name, f"--zone={ZONE}", endpoint)

    def add(self, service: str, group: str, *mode: str) -> None:
        where = (f"--network-endpoint-group={group}", f"--network-endpoint-group-zone={ZONE}")
        self.compute("backend-services", "add-backend", service, "--global", *where, *mode)

    def remove(self, service: str, group: str) -> None:
        where = (f"--network-endpoint-group={group}", f"--network-endpoint-group-zone={ZONE}")
        self.compute("backend-services", "remove-backend", service, "--global", *where)


RATE = ("--balancing-mode=RATE", "--max-rate-per-endpoint=1000")
CONNECTIONS = ("--balancing-mode=CONNECTION", "--max-connections-per-endpoint=1000")
PATIENT = ("--check-interval=5", "--timeout=5", "--unhealthy-threshold=10")
"""A busy machine must not make an endpoint unhealthy; the first verdict comes at once all the same."""
MANAGED = "--load-balancing-scheme=EXTERNAL_MANAGED"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    fetch_servers("machine")
    running = start_region(short_folder(), "--ephemeral", "--region", REGION)
    try:
        with load_gcloud(tmp_path_factory.mktemp("gcloud")) as gcloud:
            made = Site(LoadedRegion(running.name, running.home, running.environment, gcloud))
            _machines(made)
            _names_and_certificates(made)
            _balancer(made)
            yield made
    finally:
        end_region(running)


def _machines(made: Site) -> None:
    script = f"--metadata=^§^startup-script={PAGES}"
    where = (f"--zone={ZONE}", "--machine-type=e2-small", "--no-address")
    made.compute("instances", "create", "one", "two", *where, script)


def _names_and_certificates(made: Site) -> None:
    """Reserve the address, have names for it, and show control of the domain."""
    made.compute("addresses", "create", "front", "--global")
    made.address = made.read("compute", "addresses", "describe", "front", "--global")["address"]
    dns = ("dns", "record-sets", "create")
    made.region.gcloud(
        "dns", "managed-zones", "create", "shop", "--dns-name=shop.example.", "--description=x"
    )
    for name in ("shop.example.", "www.shop.example."):
        made.region.gcloud(*dns, name, "--zone=shop", "--type=A", "--ttl=60", f"--rrdatas={made.address}")
    made.certificates("dns-authorizations", "create", "shop", "--domain=shop.example")
    covers = ("--domains=shop.example,*.shop.example", "--dns-authorizations=shop")
    made.certificates("certificates", "create", "shop", *covers)
    before = made.read("certificate-manager", "certificates", "describe", "shop")
    assert before["managed"]["state"] == "PROVISIONING"
    record = made.read("certificate-manager", "dns-authorizations", "describe", "shop")["dnsResourceRecord"]
    options = ("--zone=shop", "--type=CNAME", "--ttl=60", f"--rrdatas={record['data']}")
    made.region.gcloud(*dns, record["name"], *options)
    url = "https://certificatemanager.googleapis.com/v1/projects/demo/locations/global/certificates/shop"
    wait_until(lambda: made.region.api("GET", url)[1]["managed"]["state"] == "ACTIVE", PATIENCE)
    made.certificates("maps", "create", "shop")
    entry = ("--map=shop", "--certificates=shop")
    made.certificates("maps", "entries", "create", "names", *entry, "--hostname=*.shop.example")
    made.certificates("maps", "entries", "create", "rest", *entry, "--set-primary")


def _balancer(made: Site) -> None:
    """Make the article's chain: health check, groups, service, map, proxy, forwarding rule."""
    made.compute("health-checks", "create", "http", "page", "--port=80", *PATIENT)
    made.group("blue", "one", 80)
    made.group("green", "two", 80)
    made.compute("backend-services", "create", "web", "--global", "--health-checks=page", MANAGED)
    made.compute(
        "backend-services", "update", "web", "--global", "--enable-logging", "--logging-sample-rate=1.0"
    )
    made.add("web", "blue", *RATE)
    made.compute("url-maps", "create", "web", "--default-service=web")
    made.compute("target-https-proxies", "create", "web", "--url-map=web", "--certificate-map=shop")
    made.compute(
        "forwarding-rules", "create", "web", "--global", "--target-https-proxy=web", "--ports=443",
        "--address=front", MANAGED,
    )  # fmt: skip
    for machine in ("one", "two"):
        made.wrote(machine, "pages are ready")


@pytest.fixture(scope="module")
def opened(site: Site) -> Site:
    """The site with the firewall rule for Google's ranges; before, no backend is healthy."""
    wait_until(lambda: _status(site) == 503, PATIENCE)
    assert site.health("web") == ["UNHEALTHY"]
    assert site.fetch("https://www.shop.example/") == (503, "no healthy upstream")
    ranges = "--source-ranges=35.191.0.0/16,130.211.0.0/22"
    site.compute("firewall-rules", "create", "front-ends", "--allow=tcp:80,tcp:7", ranges)
    wait_until(lambda: _status(site) == 200, PATIENCE)
    return site


def _status(site: Site) -> int:
    """Return the status of the page; 0 when nobody answers yet."""
    done = site.region.run(
        "curl",
        "-s",
        "-m",
        "10",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "https://www.shop.example/",
        check=False,
    )
    return int(done.stdout)


def test_a_page_comes_over_tls_from_a_machine_that_sees_a_front_end_and_the_clients_address(opened):
    assert opened.health("web") == ["HEALTHY"]
    status, seen = opened.fetch("https://www.shop.example/deep?x=1")
    assert (status, seen["machine"], seen["path"]) == (200, "one", "/deep?x=1")
    assert seen["client"].startswith("35.191.")
    headers = seen["headers"]
    assert headers["x-forwarded-for"] == f"192.0.2.255,{opened.address}"
    assert (headers["x-forwarded-proto"], headers["via"], headers["host"]) == (
        "https",
        "1.1 google",
        "www.shop.example",
    )
    assert not [each for each in headers if each.startswith("x-envoy")]
    address = opened.read("compute", "addresses", "describe", "front", "--global")
    assert address["status"] == "IN_USE"
    assert "/global/forwardingRules/" in address["users"][0]


def test_requests_are_in_the_log_of_the_load_balancer(opened):
    opened.fetch("https://www.shop.example/noted", "-A", "tester")
    query = 'resource.type="http_load_balancer" AND httpRequest.requestUrl:"noted"'

    def entries() -> list[Any]:
        found: list[Any] = opened.read("logging", "read", query)
        return found

    wait_until(lambda: bool(entries()), PATIENCE)
    entry = entries()[0]
    assert entry["logName"] == "projects/demo/logs/requests"
    assert entry["resource"]["labels"]["backend_service_name"] == "web"
    assert entry["resource"]["labels"]["forwarding_rule_name"] == "web"
    assert entry["jsonPayload"]["statusDetails"] == "response_sent_by_backend"
    assert (entry["httpRequest"]["status"], entry["httpRequest"]["remoteIp"]) == (200, "192.0.2.255")


def test_the_hello_chooses_the_certificate_and_a_wildcard_stands_for_one_label(opened):
    def names(host: str) -> set[str]:
        with _tls(opened, host, 443) as connection:
            found = connection.getpeercert() or {}
        return {str(pair[1]) for pair in found.get("subjectAltName", ())}

    assert names("www.shop.example") == {"shop.example", "*.shop.example"}
    opened.certificates("maps", "entries", "delete", "rest", "--map=shop", "--quiet")
    wait_until(lambda: not _handshakes(opened, "a.b.shop.example"), PATIENCE)
    assert not _handshakes(opened, "other.example")
    assert _handshakes(opened, "new.shop.example")
    opened.certificates(
        "maps", "entries", "create", "rest", "--map=shop", "--certificates=shop", "--set-primary"
    )
    wait_until(lambda: _handshakes(opened, "other.example"), PATIENCE)


def _handshakes(site: Site, host: str) -> bool:
    try:
        with _tls(site, host, 443, check=False):
            return True
    except OSError:  # an alert, or an end without one
        return False


def _tls(site: Site, host: str, port: int, *, check: bool = True) -> ssl.SSLSocket:
    """Shake hands with the load balancer as this machine's clients do, with ``host`` in the hello."""
    raw = _tunnel(site, site.address, port)
    context = ssl.create_default_context(cafile=site.region.environment["SSL_CERT_FILE"])
    context.check_hostname = check
    return context.wrap_socket(raw, server_hostname=host)


def _tunnel(site: Site, address: str, port: int) -> socket.socket:
    proxy = site.region.environment["HTTPS_PROXY"].rpartition("//")[2].strip("/")
    host, _, number = proxy.rpartition(":")
    raw = socket.create_connection((host, int(number)), timeout=30)
    raw.sendall(f"CONNECT {address}:{port} HTTP/1.1\r\nHost: {address}:{port}\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += raw.recv(1)
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raw.close()
        raise ConnectionResetError(head.decode())
    return raw


class Load:
    """Requests without pause on kept connections, until ended: how many, and what was not 200."""

    def __init__(self, site: Site, *, workers: int = 2) -> None:
        self._site = site
        self.answers: list[str] = []
        self.failures: list[str] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(workers)]

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for each in self._threads:
            each.join()

    def _ask(self) -> None:
        connection = _tls(self._site, "www.shop.example", 443)
        request = b"GET / HTTP/1.1\r\nHost: www.shop.example\r\n\r\n"
        while not self._ended.is_set() and len(self.answers) < 100_000:
            try:
                connection.sendall(request)
                head, body, closes = _answer(connection)
            except (OSError, EOFError) as error:
                self.failures.append(repr(error))
                return
            if b" 200 " in head:
                self.answers.append(json.loads(body)["machine"])
            else:
                self.failures.append(head.decode())
            if closes:
                connection.close()
                connection = _tls(self._site, "www.shop.example", 443)
        connection.close()


def _answer(connection: ssl.SSLSocket) -> tuple[bytes, bytes, bool]:
    """Read one answer: its first line, its body, and whether the connection ends with it."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            raise EOFError
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lines = [each.lower() for each in head.split(b"\r\n")]
    length = next(int(each[16:]) for each in lines if each.startswith(b"content-length: "))
    while len(body) < length:
        body += connection.recv(65536)
    return lines[0], body, b"connection: close" in lines


def test_a_group_is_swapped_under_load_and_no_request_fails(opened):
    with Load(opened) as load:
        wait_until(lambda: len(load.answers) > 50, PATIENCE)
        opened.add("web", "green", *RATE)
        wait_until(lambda: "two" in load.answers[-50:], PATIENCE)
        opened.remove("web", "blue")
        wait_until(lambda: "one" not in load.answers[-50:], PATIENCE)
        opened.add("web", "blue", *RATE)
        wait_until(lambda: "one" in load.answers[-50:], PATIENCE)
        opened.remove("web", "green")
        wait_until(lambda: "two" not in load.answers[-50:], PATIENCE)
    assert load.failures == []


def test_hosts_paths_and_weights_choose_the_service_and_redirects_and_rewrites_are_carried_out(opened):
    opened.compute("backend-services", "create", "green", "--global", "--health-checks=page", MANAGED)
    opened.add("green", "green", *RATE)
    wait_until(lambda: opened.health("green") == ["HEALTHY"], PATIENCE)
    services = f"{V1}/global/backendServices"
    rewritten = {
        "service": f"{services}/green",
        "routeAction": {"urlRewrite": {"pathPrefixRewrite": "/new/"}},
    }
    matcher = {
        "name": "paths",
        "defaultService": f"{services}/web",
        "routeRules": [
            {"priority": 1, "matchRules": [{"prefixMatch": "/old/"}], **rewritten},
            {"priority": 2, "matchRules": [{"fullPathMatch": "/moved"}],
             "urlRedirect": {"pathRedirect": "/there", "redirectResponseCode": "FOUND"}},
            {"priority": 3, "matchRules": [{"prefixMatch": "/", "headerMatches": [
                {"headerName": "x-tier", "exactMatch": "green"}]}], "service": f"{services}/green"},
        ],
    }  # fmt: skip
    change = {
        "hostRules": [{"hosts": ["www.shop.example"], "pathMatcher": "paths"}],
        "pathMatchers": [matcher],
    }
    status, answer = opened.region.api("PATCH", f"{V1}/global/urlMaps/web", change)
    assert status == 200, answer

    def page(path: str, *options: str) -> tuple[str, str]:
        seen = opened.fetch(f"https://www.shop.example{path}", *options)[1]
        return (seen["machine"], seen["path"]) if isinstance(seen, dict) else ("", "")

    wait_until(lambda: page("/old/x") == ("two", "/new/x"), PATIENCE)
    assert page("/older") == ("one", "/older")
    assert page("/y", "-H", "x-tier: green") == ("two", "/y")
    assert opened.fetch("https://shop.example/old/x")[1]["path"] == "/old/x"
    head = opened.region.curl("-i", "-m", "10", "https://www.shop.example/moved")
    assert "location: https://www.shop.example/there" in head.lower()
    assert "HTTP/2 302" in head
    refused = opened.region.gcloud(
        "compute", "backend-services", "delete", "green", "--global", "-q", check=False
    )
    assert "is already being used by" in refused.stderr
    assert "/global/urlMaps/web'" in refused.stderr


def test_tcp_and_ssl_proxies_on_the_same_address_tell_the_client_by_a_proxy_line(opened):
    opened.compute("health-checks", "create", "tcp", "line", "--use-serving-port", *PATIENT)
    opened.group("lines", "one", 7)
    scheme = (MANAGED, "--protocol=TCP", "--health-checks=line")
    opened.compute("backend-services", "create", "lines", "--global", *scheme)
    opened.add("lines", "lines", *CONNECTIONS)
    header = ("--backend-service=lines", "--proxy-header=PROXY_V1")
    opened.compute("target-tcp-proxies", "create", "lines", *header)
    opened.compute(
        "target-ssl-proxies", "create", "lines", "--backend-service=lines", "--certificate-map=shop"
    )
    rule = ("--global", "--address=front", MANAGED)
    opened.compute("forwarding-rules", "create", "tcp", *rule, "--target-tcp-proxy=lines", "--ports=7000")
    opened.compute("forwarding-rules", "create", "ssl", *rule, "--target-ssl-proxy=lines", "--ports=7443")
    wait_until(lambda: opened.health("lines") == ["HEALTHY"], PATIENCE)

    def said(connection: socket.socket) -> str:
        with connection:
            connection.sendall(b"hello\n")
            return connection.recv(1000).decode()

    def plain() -> str:
        try:
            return said(_tunnel(opened, opened.address, 7000))
        except OSError:
            return ""

    wait_until(lambda: plain().startswith(f"heard PROXY TCP4 192.0.2.255 {opened.address} "), PATIENCE)
    assert said(_tls(opened, "www.shop.example", 7443)) == "heard hello\n"
    taken = opened.region.gcloud(
        "compute", "forwarding-rules", "create", "twice", *rule, "--target-tcp-proxy=lines", "--ports=443",
        check=False,
    )  # fmt: skip
    assert "would result in a conflict" in taken.stderr


def test_a_cloud_run_service_behind_a_load_balancer_is_closed_to_others_and_sees_the_client(opened):
    image = "--image=us-docker.pkg.dev/fogbank/samples/netcheck"
    where = (f"--region={REGION}", "--allow-unauthenticated", "--ingress=internal-and-cloud-load-balancing")
    opened.region.gcloud("run", "deploy", "hello", image, *where)
    kind = (f"--region={REGION}", "--network-endpoint-type=serverless", "--cloud-run-service=hello")
    opened.compute("network-endpoint-groups", "create", "hello", *kind)
    opened.compute("backend-services", "create", "hello", "--global", MANAGED)
    group = ("--network-endpoint-group=hello", f"--network-endpoint-group-region={REGION}")
    opened.compute("backend-services", "add-backend", "hello", "--global", *group)
    opened.compute("url-maps", "create", "hello", "--default-service=hello")
    opened.compute("target-http-proxies", "create", "hello", "--url-map=hello")
    opened.compute(
        "forwarding-rules", "create", "hello", "--global", "--target-http-proxy=hello", "--ports=80",
        "--address=front", MANAGED,
    )  # fmt: skip

    def answer() -> tuple[int, str]:
        try:
            with _tunnel(opened, opened.address, 80) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")
                found = b"".join(iter(lambda: connection.recv(65536), b""))
        except OSError:
            return 0, ""
        return int(found.split(b" ")[1] if found else 0), found.decode()

    wait_until(lambda: answer()[0] == 200, PATIENCE)
    assert "192.0.2.255" in answer()[1]
    url = opened.read("run", "services", "describe", "hello", f"--region={REGION}")["status"]["url"]
    assert opened.fetch(f"{url}/")[0] == 404
    with_check = ("--global", "--health-checks=page")
    refused = opened.region.gcloud("compute", "backend-services", "update", "hello", *with_check, check=False)
    assert "cannot have a healthcheck with Serverless network endpoint group" in refused.stderr
