"""DNS messages: what a query is answered with, byte for byte.

:mod:`fogbank.servers.dns` loads this with the first query, or once the region is ready: the library that
reads and writes messages is slow to import.
"""

import struct
from ipaddress import IPv4Address

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from fogbank.resources.dns import Answers

_HEADER_BYTES = 12
_LARGEST_QUERY = 1232
"""Bytes, as much as EDNS carries without fragments (https://www.dnsflagday.net/2020/)."""


def reply(query: bytes, client: IPv4Address, answers: Answers) -> bytes | None:
    """Answer one message by ``answers``; None when it is not even the beginning of a query."""
    refusal = _refusal(query)
    if refusal is not None:
        return _error(query, refusal)
    try:
        message = dns.message.from_wire(query)
    except (dns.exception.DNSException, ValueError):
        return _error(query, dns.rcode.FORMERR)
    answer = dns.message.make_response(message, recursion_available=True, our_payload=1232)
    question = message.question[0]
    name = question.name.to_text().lower()
    kind = dns.rdatatype.to_text(question.rdtype)
    known = answers(client, name, kind) if question.rdclass == dns.rdataclass.IN else None
    if known is None:
        answer.set_rcode(dns.rcode.NXDOMAIN)
    for each in known or ():
        owner = question.name if each.name == name else dns.name.from_text(each.name)
        answer.answer.append(dns.rrset.from_text_list(owner, each.ttl, "IN", each.type, each.texts))
    answer.flags |= dns.flags.AA
    return answer.to_wire()


def _refusal(query: bytes) -> dns.rcode.Rcode | None:
    """Judge a message by its header, before anything reads its records: a query is one question, and short.

    RFC 6891, section 6.1.1: the additional records are one OPT at most; TSIG (RFC 8945) may be another.
    """
    if not _HEADER_BYTES <= len(query) <= _LARGEST_QUERY or _is_answer(query):
        return dns.rcode.FORMERR
    if (query[2] >> 3 & 0xF) != dns.opcode.QUERY:
        return dns.rcode.NOTIMP
    questions, answers, authorities, more = struct.unpack_from("!HHHH", query, 4)
    if questions != 1:
        return dns.rcode.NOTIMP
    return dns.rcode.FORMERR if answers or authorities or more > 2 else None


def _is_answer(message: bytes) -> bool:
    return bool(message[2] & 0x80)


def _error(query: bytes, code: dns.rcode.Rcode) -> bytes | None:
    """Answer an error when there is at least a header to answer to, and never to an answer.

    Two resolvers would talk to one another for ever.
    """
    if len(query) < _HEADER_BYTES or _is_answer(query):
        return None
    flags = dns.flags.QR | (query[2] & 0x79) << 8 | code
    return query[:2] + struct.pack("!HHHHH", flags, 0, 0, 0, 0)
