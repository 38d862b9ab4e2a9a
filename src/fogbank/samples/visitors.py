"""The visitors image: article 001's application, without its libraries.

``/`` greets, ``/redis`` counts a visitor in the Redis server that the environment names, as a user of
Memorystore would: VPC_REDISHOST and VPC_REDISPORT, or REDISHOST and REDISPORT, which Cloud Run integrations
set.
"""

import os

from fogbank.samples.probes import redis
from fogbank.samples.web import SampleRequest, SampleResponse, Server, say

_SECONDS = 5.0
_GREETING = '{"Hello":"World"}\n'


def redis_server() -> tuple[str, int]:
    """Return the host and the port that the environment names."""
    names = os.environ
    host = names.get("VPC_REDISHOST") or names.get("REDISHOST") or "localhost"
    return host, int(names.get("VPC_REDISPORT") or names.get("REDISPORT") or "6379")


def answer(request: SampleRequest) -> SampleResponse:
    """Greet, or count a visitor."""
    if request.path == "/":
        return SampleResponse(_GREETING, "application/json")
    if request.path != "/redis":
        return SampleResponse("Not Found", status=404)
    host, port = redis_server()
    counted = redis(host, port, "INCR counter", _SECONDS)
    if not counted["ok"]:
        return SampleResponse(f"{host}:{port}: {counted['error']}\n", status=500)
    return SampleResponse(f"Visitor number: {counted['reply']}")


def main() -> None:
    """Run the server at ``$PORT``."""
    port = int(os.environ.get("PORT", "8080"))
    server = Server(answer, port)
    say(f"visitors listens on port {port}")
    server.run()
