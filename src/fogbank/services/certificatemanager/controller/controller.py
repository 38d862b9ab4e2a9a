"""Looks whether control of the domains of managed certificates is shown in the region's DNS, and issues them.

Google's authority looks from the internet: at public zones alone. It looks again when something changes here
and every few seconds. The machine's own clock says when a certificate ends, because clients check by it.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from fogbank.control.background import BackgroundTasks
from fogbank.control.controller import Controller, Runtime
from fogbank.control.periodic import every
from fogbank.resources.decisions import Decision
from fogbank.resources.dns import RECORD_SETS, ZONES, known, resolve
from fogbank.resources.load_balancing import (
    CERTIFICATES,
    DNS_AUTHORIZATIONS,
    FORWARDING_RULES,
    MAP_ENTRIES,
    proxies_with_map,
    rules_of_proxy,
)
from fogbank.resources.names import ResourceName
from fogbank.resources.world import Change, Delete, Put, Resource, World
from fogbank.services.certificatemanager.certificates import (
    ACTIVE,
    PROVISIONING,
    attempted,
    entries_with,
    issued,
)

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
LIFETIME = timedelta(days=90)
RENEWED_BEFORE = timedelta(days=30)
"""behaviour/certificate-manager.md#certificates"""

_MEANT = frozenset(
    {CERTIFICATES, DNS_AUTHORIZATIONS, FORWARDING_RULES, MAP_ENTRIES, RECORD_SETS, ZONES,
     "compute.targetHttpsProxies", "compute.targetSslProxies"}
)  # fmt: skip


class CertificateController(Controller):
    """All managed certificates."""

    name = "certificatemanager"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self._store = runtime, runtime.store
        self._working: set[ResourceName] = set()
        self._tasks = BackgroundTasks("the issuing of a certificate")
        self._store.watch_changes(self._world_changed)

    async def run(self) -> None:
        """Look again and again until cancelled."""
        await every(LOOK_SECONDS, self.look)

    def reconcile(self) -> None:
        """Look now."""
        self.look()

    def _world_changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            match change:
                case Put(resource) if resource.name.collection in _MEANT:
                    return self.look()
                case Delete(name) if name.collection in _MEANT:
                    return self.look()
                case _:
                    continue
        return None

    def look(self) -> None:
        """Look at every managed certificate that is not issued, or ends soon."""
        for each in self._store.world.all(CERTIFICATES):
            managed = each.body.get("managed")
            if not managed or each.name in self._working:
                continue
            if managed["state"] == PROVISIONING or (managed["state"] == ACTIVE and _ends_soon(each)):
                self._working.add(each.name)
                self._tasks.spawn(self._attempt(each.name))

    async def _attempt(self, name: ResourceName) -> None:
        try:
            found = self._store.world.find(name)
            if found is None:
                return
            failures = unauthorized(self._store.world, found)
            if failures:
                await self._note(name, failures)
                return
            domains = tuple(found.body["managed"]["domains"])
            pem = await asyncio.to_thread(self._runtime.issue_certificate, domains, LIFETIME)
            now = self._runtime.clock.now()
            await self._store.commit(lambda world: Decision(tuple(issued(world, name, pem, now))))
        finally:
            self._working.discard(name)

    async def _note(self, name: ResourceName, failures: Mapping[str, str]) -> None:
        now = self._runtime.clock.now()
        if tuple(attempted(self._store.world, name, failures, now)):
            await self._store.commit(lambda world: Decision(tuple(attempted(world, name, failures, now))))


def _ends_soon(certificate: Resource) -> bool:
    end = datetime.fromisoformat(certificate.body["expireTime"])
    return end - datetime.now(UTC) < RENEWED_BEFORE


def unauthorized(world: World, certificate: Resource) -> dict[str, str]:
    """Say of which domains of a certificate control is not shown, and why."""
    managed = certificate.body["managed"]
    if authorizations := managed.get("dnsAuthorizations"):
        found = (world.find(ResourceName(DNS_AUTHORIZATIONS, each)) for each in authorizations)
        records = {each.body["domain"]: each.body["dnsResourceRecord"] for each in found if each is not None}
        missing = {domain: _wrong_record(world, record) for domain, record in records.items()}
        return {
            each: why
            for each in managed["domains"]
            if (why := missing.get(each.removeprefix("*."), "no record"))
        }
    addresses = {
        rule.body["IPAddress"]
        for entry in entries_with(world, certificate.name)
        for proxy in proxies_with_map(world, _map_of(entry))
        for rule in rules_of_proxy(world, proxy.name)
    }
    return {each: why for each in managed["domains"] if (why := _leads_elsewhere(world, each, addresses))}


def _map_of(entry: Resource) -> ResourceName:
    path = entry.name.path.partition("/certificateMapEntries/")[0]
    return ResourceName("certificatemanager.certificateMaps", path)


def _wrong_record(world: World, record: Mapping[str, str]) -> str:
    found = known(resolve(world, None, record["name"].lower(), "CNAME"))
    texts = [text.lower() for each in found if each.type == "CNAME" for text in each.texts]
    if record["data"] in texts:
        return ""
    if not texts:
        return f"There is no CNAME record {record['name']} in a public zone."
    return f"The CNAME record {record['name']} leads to {texts[0]} and not to {record['data']}"


def _leads_elsewhere(world: World, domain: str, addresses: set[str]) -> str:
    found = known(resolve(world, None, f"{domain}.", "A"))
    texts = {text for each in found if each.type == "A" for text in each.texts}
    if texts and texts <= addresses:
        return ""
    if not texts:
        return f"{domain} has no address record."
    return f"{domain} leads to {', '.join(sorted(texts))}, where no load balancer has this certificate."
