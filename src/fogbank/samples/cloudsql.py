"""The proxy that Cloud Run puts beside a service's containers: Unix sockets that lead to Cloud SQL instances.

Each argument is a connection name, PROJECT:REGION:INSTANCE, whose socket is
/cloudsql/PROJECT:REGION:INSTANCE/.s.PGSQL.5432. Where the instance is, Cloud SQL is asked with the service's
own account, as Google's proxy does; the packets then go the service's own way.
"""

import json
import os
import socket
import sys
import threading
import time

from fogbank.samples.http import connect, fetch
from fogbank.samples.probes import explain, lookup
from fogbank.samples.web import say

FOLDER = "/cloudsql"
_PORT = 5432
_SECONDS = 10.0
_REMEMBERED_SECONDS = 60.0
_TOKEN = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token"  # noqa: S105
_API = "https://sqladmin.googleapis.com/v1"

_known: dict[str, tuple[str, float]] = {}


def address_of(connection: str) -> str:
    """Ask Cloud SQL for an instance's address; OSError when it does not say."""
    address, since = _known.get(connection, ("", 0.0))
    if address and time.monotonic() - since < _REMEMBERED_SECONDS:
        return address
    project, _, rest = connection.rpartition(":")[0].rpartition(":")
    instance = connection.rpartition(":")[2]
    token = json.loads(str(fetch(_TOKEN, _SECONDS, lookup, "Metadata-Flavor: Google")["body"]))[
        "access_token"
    ]
    url = f"{_API}/projects/{project}/instances/{instance}/connectSettings"
    answer = fetch(url, _SECONDS, lookup, f"Authorization: Bearer {token}")
    settings = json.loads(str(answer["body"]))
    if answer["status"] != 200:
        raise OSError(str(settings.get("error", {}).get("message", answer["status"])))
    if settings["region"] != rest:
        raise OSError(f"the instance is in {settings['region']}")
    found = str(settings["ipAddresses"][0]["ipAddress"])
    _known[connection] = found, time.monotonic()
    return found


def serve(connection: str) -> None:
    """Take clients of one socket until the container ends."""
    folder = f"{FOLDER}/{connection}"
    path = f"{folder}/.s.PGSQL.{_PORT}"
    os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - pathlib is slow to import
    with socket.socket(socket.AF_UNIX) as listener:
        if os.path.exists(path):  # noqa: PTH110
            os.unlink(path)  # noqa: PTH108
        listener.bind(path)
        os.chmod(path, 0o777)  # noqa: PTH101, S103 - the containers' users are strangers to each other
        listener.listen(128)
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_lead, args=(client, connection), daemon=True).start()


def _lead(client: socket.socket, connection: str) -> None:
    """Lead one client to the instance; it is hung up on when that cannot be."""
    with client:
        try:
            server = connect(address_of(connection), _PORT, _SECONDS)
        except (OSError, ValueError, LookupError) as error:
            say(f"{connection}: {explain(error)}")
            return
        with server:
            server.settimeout(None)
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            _copy(client, server)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while content := source.recv(65536):
            target.sendall(content)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # the other direction ends by it, too
        for each in (source, target):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


def main() -> None:
    """Serve a socket for each argument."""
    threads = [threading.Thread(target=serve, args=(each,)) for each in sys.argv[1:]]
    for thread in threads:
        thread.start()
    say(f"Cloud SQL connections: {', '.join(sys.argv[1:])}")
    for thread in threads:
        thread.join()
