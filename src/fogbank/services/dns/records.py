"""What a record set may say: names, types and data as zone files write them (RFC 1035, section 5.1).

The data is read by a DNS library, which also gives the form that is kept.
"""

import re
from collections.abc import Sequence
from functools import partial

from fogbank.resources.world import Json
from fogbank.services.dns.refusals import bad, invalid
from fogbank.services.dns.routing import read_routing_policy

TYPES = {
    *("A", "AAAA", "CAA", "CNAME", "DS", "HTTPS", "MX", "NAPTR", "NS"),
    *("PTR", "SOA", "SPF", "SRV", "SSHFP", "SVCB", "TLSA", "TXT"),
}

_LABEL = r"(?!-)[a-z0-9_/-]{1,63}(?<!-)"
_NAME = re.compile(rf"(?:\*\.)?(?:{_LABEL}\.)+")
_LONGEST_NAME = 254
_LONGEST_TTL = 2**31 - 1


def read_name(given: object, field: str) -> str:
    """Read an absolute name, in lower case; Google's refusal of anything else."""
    name = str(given or "").lower()
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise invalid(field, given)
    return name


def read_record_set(given: Json, field: str, origin: str) -> Json:
    """Read a record set of the zone ``origin`` as it is kept; ``field`` is what a refusal calls it."""
    name = read_name(given.get("name"), f"{field}.name")
    if name != origin and not name.endswith(f".{origin}"):
        raise invalid(f"{field}.name", given.get("name"))
    kind = str(given.get("type") or "").upper()
    if kind not in TYPES:
        raise invalid(f"{field}.type", given.get("type"))
    ttl = int(given.get("ttl") or 0)
    if not 0 <= ttl <= _LONGEST_TTL:
        raise invalid(f"{field}.ttl", ttl)
    texts = given.get("rrdatas") or ()
    read: Json = {"kind": "dns#resourceRecordSet", "name": name, "type": kind, "ttl": ttl}
    if policy := given.get("routingPolicy"):
        if texts:
            raise bad(
                f"Invalid value for '{field}': 'rrdatas' and 'routingPolicy' exclude one another.", "invalid"
            )
        routing = read_routing_policy(policy, f"{field}.routingPolicy", partial(_read_all, kind))
        return read | {"routingPolicy": routing}
    if not texts:
        raise invalid(f"{field}.rrdata", "")
    return read | {"rrdatas": _read_all(kind, texts, field)}


def _read_all(kind: str, texts: Sequence[str], field: str) -> list[str]:
    if kind in ("CNAME", "SOA") and len(texts) > 1:
        raise invalid(f"{field}.rrdata", ", ".join(map(str, texts)))
    return [_read_data(kind, text, f"{field}.rrdata[{place}]") for place, text in enumerate(texts)]


def _read_data(kind: str, text: object, field: str) -> str:
    import dns.exception  # its library takes 25 ms, which a start need not wait for
    import dns.rdata
    import dns.rdataclass
    import dns.rdatatype

    try:
        read = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(kind), str(text), origin=None)
    except (dns.exception.DNSException, ValueError, SyntaxError):
        raise invalid(field, text) from None
    kept = read.to_text()
    if kind in ("CNAME", "NS", "PTR", "MX", "SRV") and not kept.endswith("."):
        raise invalid(field, text)  # a name that is not absolute
    return kept
