"""Containers for tests: small servers that stand for instances, and the service before them."""

import asyncio
import json
from contextlib import asynccontextmanager
from ipaddress import IPv4Address

from tests.worlds import R, resource, revision

from fogbank.frontend.ingress.upstreams import InstancePort
from fogbank.network.topology import NetnsName
from fogbank.resources.run import service_name

HOST = f"web-123.{R}.run.app"


class NoInstanceError(Exception):
    pass


class Container:
    """A server on the loopback that answers each connection with ``script`` and keeps what it was sent."""

    port: int
    reader: asyncio.StreamReader

    def __init__(self, script):
        self.script, self.seen, self.leases, self.serving = script, [], 0, set()
        self.instance = "web-00001-abc-0a0b0c0d"

    @asynccontextmanager
    async def lease(self, revision, session=None):
        self.leases += 1
        if session is not None:
            session.instance = self.instance
        if self.script is None:
            raise NoInstanceError(revision.path)
        try:
            yield InstancePort(NetnsName("fabric"), IPv4Address("127.0.0.1"), self.port, self.instance)
        finally:
            self.leases -= 1

    async def close(self):
        for task in self.serving:
            task.cancel()
        await asyncio.gather(*self.serving, return_exceptions=True)

    async def serve(self, reader, writer):
        self.serving.add(asyncio.current_task())
        try:
            await self._answer(reader, writer)
        finally:
            writer.close()
            await writer.wait_closed()

    async def _answer(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            (line for line in head.lower().split("\r\n") if line.startswith("content-length:")), ":0"
        )
        body = await reader.readexactly(int(length.partition(":")[2]))
        self.seen.append((head, body))
        self.reader = reader
        await self.script(writer)

    @property
    def headers(self):
        lines = self.seen[-1][0].split("\r\n")[1:]
        return {n.lower(): v for n, _, v in (line.partition(": ") for line in lines if line)}


def says(raw):
    async def script(writer):
        writer.write(raw)
        await writer.drain()

    return script


OK = says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: gunicorn\r\nX-Own: yes\r\n\r\nhello")


def add_service(region, traffic=None, **annotations):
    urls = [f"https://{HOST}", "https://web-abcdefghij-du.a.run.app"]
    body = {
        "metadata": {
            "generation": 1,
            "annotations": {"run.googleapis.com/urls": json.dumps(urls), **annotations},
        },
        "status": {"url": urls[1], "traffic": traffic or [{"revisionName": "web-00001-abc", "percent": 100}]},
    }
    region.put(resource(service_name("demo", R, "web"), body), revision("web-00001-abc"))


def open_to(region, *members):
    path = service_name("demo", R, "web").path
    region.set_policy("run.policies", path, roles__run_invoker=list(members))
