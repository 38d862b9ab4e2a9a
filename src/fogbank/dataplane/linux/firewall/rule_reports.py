"""What logged firewall rules decided, as the kernel reports it.

A rule that is logged hands the head of a packet to a log group, with its own name as the prefix: when it
allows a connection's first packet, and when it denies a 5-tuple that it has not denied in the last five
seconds (:mod:`policy_chains`). The kernel wakes nobody for packets of known connections or repeated attempts.
"""

from fogbank.dataplane.driver import RuleReport
from fogbank.dataplane.linux.firewall.first_packets import flow_of
from fogbank.dataplane.linux.firewall.log_groups import (
    LOG_PACKET,
    LOG_PAYLOAD,
    LOG_PREFIX,
    LOG_THRESHOLD,
    LOG_TIMEOUT,
    bind_log_group,
)
from fogbank.dataplane.linux.firewall.policy_chains import RULE_GROUP, parse_prefix
from fogbank.dataplane.linux.firewall.reports import Reports
from fogbank.dataplane.linux.net.namespaces import NetworkNamespaces
from fogbank.dataplane.linux.net.netlink import NETLINK_NETFILTER, Netlink, attributes, big32, messages
from fogbank.network.topology import NetnsName

_HEAD_BYTES = 68
"""The longest IPv4 header, and the ports behind it."""
_GATHERED, _GATHER_CENTISECONDS = 50, 5


class RuleReports:
    """Takes the reports of the namespaces that it was asked to listen to."""

    def __init__(self, namespaces: NetworkNamespaces) -> None:
        self._namespaces = namespaces
        self._reports = Reports("reports of firewall rules")

    def listen(self, netns: NetnsName) -> None:
        """Take the reports of ``netns`` from now on."""
        if netns in self._reports:
            return
        with self._namespaces.inside(netns):
            link = Netlink(NETLINK_NETFILTER)
        options = big32(LOG_THRESHOLD, _GATHERED), big32(LOG_TIMEOUT, _GATHER_CENTISECONDS)
        bind_log_group(link, RULE_GROUP, _HEAD_BYTES, *options)
        self._reports.add(netns, link)

    def take(self, netns: NetnsName) -> tuple[RuleReport, ...]:
        """Return what was reported since the last call."""
        return tuple(
            _report(attributes(payload, 4))
            for data in self._reports.take(netns)
            for kind, _, _, payload in messages(data)
            if kind == LOG_PACKET
        )

    def forget(self, netns: NetnsName) -> None:
        """Let ``netns`` go."""
        self._reports.forget(netns)

    def close(self) -> None:
        """Let every namespace go."""
        self._reports.close()


def _report(packet: dict[int, bytes]) -> RuleReport:
    flow = flow_of(packet[LOG_PAYLOAD])
    return RuleReport(
        *parse_prefix(packet[LOG_PREFIX].rstrip(b"\0").decode()),
        flow.protocol,
        flow.source,
        flow.source_port,
        flow.destination,
        flow.destination_port,
    )
