"""Spans of traces, as both versions of Cloud Trace's API show them (behaviour/trace.md#spans)."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Span:
    """One span: ids are 32 and 16 hexadecimal digits (``parent`` empty for a root), times nanoseconds.

    ``kind`` is as version 1 has it: ``RPC_SERVER``, ``RPC_CLIENT`` or empty.
    """

    trace: str
    id: str
    name: str
    start: int
    end: int
    parent: str = ""
    kind: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
