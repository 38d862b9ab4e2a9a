"""A client that minds its own business: it reads a project again and again and notes how long that takes.

It is a program of its own, so that the attacker's work does not count as the region's. Standard input: one
line with JSON (port, roots, token); then it runs until the input ends, and prints its waits in milliseconds.
"""

import http.client
import json
import select
import ssl
import sys
import time

HOST = "cloudresourcemanager.googleapis.com"
PAUSE_SECONDS = 0.005


def main() -> None:
    told = json.loads(sys.stdin.readline())
    trust = ssl.create_default_context(cafile=told["roots"])
    connection = http.client.HTTPSConnection("127.0.0.1", told["port"], timeout=30, context=trust)
    connection.set_tunnel(HOST, 443)
    headers = {"Authorization": f"Bearer {told['token']}"}
    waits = []
    while not select.select([sys.stdin], [], [], PAUSE_SECONDS)[0]:
        began = time.perf_counter()
        connection.request("GET", "/v1/projects/demo", headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        waits.append((time.perf_counter() - began) * 1000)
        if len(waits) == 3:
            print("ready", flush=True)
    print(json.dumps(waits), flush=True)


if __name__ == "__main__":
    main()
