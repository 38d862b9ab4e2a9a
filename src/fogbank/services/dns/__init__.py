"""Cloud DNS (``dns.googleapis.com``): managed zones and their records, server policies, response policies.

Inbound forwarding, routing policies and DNSSEC are not built.
"""

from fogbank.services.access import iam_methods
from fogbank.services.contract import List, Read, Service, Write
from fogbank.services.dns import (
    projects,
    record_sets,
    response_policies,
    response_rules,
    server_policies,
    zones,
)

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
        "policies.get": Read(server_policies.get, "dns.policies.get"),
        "policies.list": List(server_policies.list_, "policies", permission="dns.policies.list"),
        "policies.create": Write(server_policies.create, "dns.policies.create"),
        "policies.patch": Write(server_policies.patch, "dns.policies.update"),
        "policies.update": Write(server_policies.update, "dns.policies.update"),
        "policies.delete": Write(server_policies.delete, "dns.policies.delete"),
        "responsePolicies.get": Read(response_policies.get, "dns.responsePolicies.get"),
        "responsePolicies.list": List(
            response_policies.list_, "responsePolicies", permission="dns.responsePolicies.list"
        ),
        "responsePolicies.create": Write(response_policies.create, "dns.responsePolicies.create"),
        "responsePolicies.patch": Write(response_policies.patch, "dns.responsePolicies.update"),
        "responsePolicies.update": Write(response_policies.update, "dns.responsePolicies.update"),
        "responsePolicies.delete": Write(response_policies.delete, "dns.responsePolicies.delete"),
        "responsePolicyRules.get": Read(response_rules.get, "dns.responsePolicyRules.get"),
        "responsePolicyRules.list": List(
            response_rules.list_, "responsePolicyRules", permission="dns.responsePolicyRules.list"
        ),
        "responsePolicyRules.create": Write(response_rules.create, "dns.responsePolicyRules.create"),
        "responsePolicyRules.patch": Write(response_rules.patch, "dns.responsePolicyRules.update"),
        "responsePolicyRules.update": Write(response_rules.update, "dns.responsePolicyRules.update"),
        "responsePolicyRules.delete": Write(response_rules.delete, "dns.responsePolicyRules.delete"),
    },
    errors="reasons",
    operations="none",
    permissions=(
        "dns.networks.bindDNSResponsePolicy",
        "dns.networks.bindPrivateDNSPolicy",
        "dns.networks.bindPrivateDNSZone",
        "dns.networks.targetWithPeeringZone",
    ),
)
