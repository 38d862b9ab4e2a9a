"""DNS messages: what a query is answered with, byte for byte.

:mod:`fogbank.servers.dns` loads this with the first query, or once the region is ready: the library that
reads and writes messages is slow to import.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from fogbank.resources.dns import Answers, Forward, RecordSet

_HEADER_BYTES = 12
_LARGEST_QUERY = 1232
"""Bytes, as much as EDNS carries without fragments (https://www.dnsflagday.net/2020/)."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A query that another name server must answer first."""

    forward: Forward
    query: dns.message.QueryMessage

    def question(self) -> dns.message.QueryMessage:
        """Make the message for the other name server."""
        return dns.message.make_query(self.forward.name, self.forward.kind, use_edns=True, payload=1232)

    def finish(self, answer: dns.message.Message | None) -> bytes:
        """Answer the client with what came; with SERVFAIL when nothing did."""
        response = dns.message.make_response(self.query, recursion_available=True, our_payload=1232)
        if answer is None:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response.to_wire()
        response.set_rcode(answer.rcode())
        _append(response, self.query, self.forward.before)
        response.answer += answer.answer
        if self.forward.note is not None:
            self.forward.note(_noted(self.forward, answer))
        return response.to_wire()


def _noted(forward: Forward, answer: dns.message.Message) -> tuple[RecordSet, ...] | None:
    if answer.rcode() == dns.rcode.NXDOMAIN:
        return None
    came = (
        RecordSet(each.name.to_text(), dns.rdatatype.to_text(each.rdtype), each.ttl, tuple(map(str, each)))
        for each in answer.answer
    )
    return (*forward.before, *came)


def _append(response: dns.message.Message, query: dns.message.Message, records: Sequence[RecordSet]) -> None:
    asked = query.question[0].name
    for each in records:
        owner = asked if each.name == asked.to_text().lower() else dns.name.from_text(each.name)
        response.answer.append(dns.rrset.from_text_list(owner, each.ttl, "IN", each.type, each.texts))


def reply(query: bytes, client: IPv4Address, answers: Answers) -> bytes | Pending | None:
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
    if isinstance(known, Forward):
        return Pending(known, cast("dns.message.QueryMessage", message))
    if known is None:
        answer.set_rcode(dns.rcode.NXDOMAIN)
    _append(answer, message, known or ())
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
