"""Cloud DNS (``dns.googleapis.com``): managed zones and their records, public and private.

Forwarding, policies, DNSSEC and query logs are not built.
"""

from fogbank.services.access import iam_methods
from fogbank.services.contract import List, Read, Service, Write
from fogbank.services.dns import projects, record_sets, zones

SERVICE = Service(
    name="dns",
    title="Cloud DNS API",
    versions=("v1", "v1beta2"),
    methods={
        "projects.get": Read(projects.get, "dns.projects.get"),
        "managedZones.get": Read(zones.get, "dns.managedZones.get"),
        "managedZones.list": List(zones.list_, "managedZones", permission="dns.managedZones.list"),
        "managedZones.create": Write(zones.create, "dns.managedZones.create"),
        "managedZones.patch": Write(zones.patch, "dns.managedZones.update"),
        "managedZones.update": Write(zones.update, "dns.managedZones.update"),
        "managedZones.delete": Write(zones.delete, "dns.managedZones.delete"),
        **iam_methods("managedZones.", zones.guarded, "dns.managedZones"),
        "managedZoneOperations.get": Read(zones.operation, "dns.managedZoneOperations.get"),
        "managedZoneOperations.list": List(
            zones.operations, "operations", permission="dns.managedZoneOperations.list"
        ),
        "resourceRecordSets.get": Read(record_sets.get, "dns.resourceRecordSets.get"),
        "resourceRecordSets.list": List(
            record_sets.list_, "rrsets", permission="dns.resourceRecordSets.list"
        ),
        "resourceRecordSets.create": Write(record_sets.create, "dns.resourceRecordSets.create"),
        "resourceRecordSets.patch": Write(record_sets.patch, "dns.resourceRecordSets.update"),
        "resourceRecordSets.delete": Write(record_sets.delete, "dns.resourceRecordSets.delete"),
        "changes.create": Write(record_sets.create_change, "dns.changes.create"),
        "changes.get": Read(record_sets.get_change, "dns.changes.get"),
        "changes.list": List(record_sets.list_changes, "changes", permission="dns.changes.list"),
    },
    errors="reasons",
    operations="none",
    permissions=("dns.networks.bindPrivateDNSZone", "dns.networks.targetWithPeeringZone"),
)
