"""Cloud DNS: zones, records, atomic changes, and what a name resolves to."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import worlds
from tests.cloud_calls import PROJECT, Cloud, with_project

from fogbank.resources.dns import known, resolve
from fogbank.resources.names import compute_name
from fogbank.resources.world import Put
from fogbank.servers.dns import world_answers

NETWORK = compute_name("networks", PROJECT, "global", None, "main")
OTHER = compute_name("networks", PROJECT, "global", None, "other")
SELF_LINK = NETWORK.self_link


@pytest.fixture
def cloud():
    with_project(PROJECT)
    try:
        return Cloud(Put(worlds.network("main")), Put(worlds.network("other")))
    finally:
        with_project("demo")


def make_zone(cloud, name="inside", dns_name="corp.example.", networks=(SELF_LINK,), **more):
    body = {"name": name, "dnsName": dns_name, "description": "", **more}
    if networks:
        seen = [{"networkUrl": each} for each in networks]
        body |= {"visibility": "private", "privateVisibilityConfig": {"networks": seen}}
    return cloud("dns.v1.managedZones.create", body, project=PROJECT)


def record(name, *data, kind="A", ttl=300):
    return {"name": name, "type": kind, "ttl": ttl, "rrdatas": list(data)}


def add(cloud, *records, zone="inside"):
    for each in records:
        cloud("dns.v1.resourceRecordSets.create", each, project=PROJECT, managedZone=zone)


def change(cloud, zone="inside", **body):
    return cloud("dns.v1.changes.create", body, project=PROJECT, managedZone=zone)


def refuse(cloud, method, body=None, zone="inside", **parameters):
    error = cloud.refused(f"dns.v1.{method}", body, project=PROJECT, managedZone=zone, **parameters)
    return error.code, error.reason, error.message


def texts(cloud, name, kind="A", network=NETWORK):
    found = resolve(cloud.world, network, name, kind)
    return None if found is None else [(each.name, each.type, *each.texts) for each in known(found)]


def test_a_zone_comes_with_its_own_records_and_goes_with_them(cloud):
    made = make_zone(cloud, networks=())
    assert (made["visibility"], len(made["nameServers"])) == ("public", 4)
    rrsets = cloud("dns.v1.resourceRecordSets.list", project=PROJECT, managedZone="inside")
    assert [(each["type"], each["name"]) for each in rrsets] == [
        ("NS", "corp.example."),
        ("SOA", "corp.example."),
    ]
    (first,) = cloud("dns.v1.changes.list", project=PROJECT, managedZone="inside")
    assert (first["id"], len(first["additions"])) == ("0", 2)
    add(cloud, record("www.corp.example.", "10.0.0.5"))
    code, reason, message = refuse(cloud, "managedZones.delete")
    assert (code, reason) == (400, "containerNotEmpty")
    assert message == (
        "The resource named 'inside' cannot be deleted because it contains one or more 'resource records'."
    )
    cloud(
        "dns.v1.resourceRecordSets.delete",
        project=PROJECT,
        managedZone="inside",
        name="www.corp.example.",
        type="A",
    )
    cloud("dns.v1.managedZones.delete", project=PROJECT, managedZone="inside")
    assert not [
        each for each in cloud.world.collections if each.startswith("dns.") and cloud.world.count(each)
    ]


def test_zones_that_cannot_be(cloud):
    make_zone(cloud)
    create = {"name": "inside", "dnsName": "x.example.", "description": ""}
    assert refuse(cloud, "managedZones.create", create)[:2] == (409, "alreadyExists")
    for wrong in ({"name": "Up"}, {"dnsName": "no-dot"}, {"dnsName": "a..b."}, {"dnsName": "sp ace."}):
        assert refuse(cloud, "managedZones.create", create | {"name": "b"} | wrong)[:2] == (400, "invalid")
    missing = {"visibility": "private", "privateVisibilityConfig": {"networks": [{"networkUrl": "nowhere"}]}}
    assert (
        "networks[0].networkUrl" in refuse(cloud, "managedZones.create", create | {"name": "b"} | missing)[2]
    )
    assert refuse(cloud, "managedZones.create", {"name": "b", "dnsName": "x."})[1] == "required"
    directory = {"serviceDirectoryConfig": {"namespace": {"namespaceUrl": "x"}}}
    assert refuse(cloud, "managedZones.create", create | {"name": "b"} | directory)[1] == "notImplemented"
    assert refuse(cloud, "managedZones.get", zone="gone") == (
        404, "notFound", "The 'parameters.managedZone' resource named 'gone' does not exist."
    )  # fmt: skip


def test_a_change_has_all_its_parts_or_none(cloud):
    make_zone(cloud)
    first = record("www.corp.example.", "10.0.0.5")
    made = change(cloud, additions=[first, record("mail.corp.example.", "10.0.0.6")])
    assert (made["id"], made["status"]) == ("1", "done")
    wrong = first | {"rrdatas": ["10.0.0.9"]}
    later = [record("new.corp.example.", "10.0.0.7")]
    assert refuse(cloud, "changes.create", {"additions": later, "deletions": [wrong]}) == (
        412, "conditionNotMet", "Precondition not met for 'entity.change.deletions[0]'"
    )  # fmt: skip
    assert refuse(cloud, "changes.create", {"additions": [*later, first]})[:2] == (409, "alreadyExists")
    change(cloud, deletions=[first], additions=[first | {"ttl": 60}])
    assert texts(cloud, "new.corp.example.") is None
    listed = cloud("dns.v1.changes.list", project=PROJECT, managedZone="inside")
    assert [each["id"] for each in listed] == ["2", "1", "0"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (record("www.elsewhere.example.", "10.0.0.1"), "invalid"),
        (record("www.corp.example.", "10.0.0.256"), "invalid"),
        (record("www.corp.example.", "10.0.0.1", kind="NONSENSE"), "invalid"),
        (record("www.corp.example.", kind="A"), "invalid"),
        (record("www.corp.example.", "relative", kind="CNAME"), "invalid"),
        (record("www.corp.example.", "a.b.", "c.d.", kind="CNAME"), "invalid"),
        (record("corp.example.", "a.b.", kind="CNAME"), "invalidZoneApex"),
        (record("used.corp.example.", "a.b.", kind="CNAME"), "cnameResourceRecordSetConflict"),
        (record("alias.corp.example.", "10.0.0.1"), "cnameResourceRecordSetConflict"),
        (record("www.corp.example.\n", "10.0.0.1"), "invalid"),
        (record("www.corp.example.", "10.0.0.1") | {"routingPolicy": {"geo": {}}}, "notImplemented"),
    ],
)
def test_records_that_cannot_be(cloud, given, reason):
    make_zone(cloud)
    add(cloud, record("used.corp.example.", "10.0.0.1"), record("alias.corp.example.", "x.y.", kind="CNAME"))
    assert refuse(cloud, "resourceRecordSets.create", given)[1] == reason


def test_a_zone_keeps_its_own_records(cloud):
    make_zone(cloud)
    code, reason, _ = refuse(cloud, "resourceRecordSets.delete", name="corp.example.", type="NS")
    assert (code, reason) == (400, "containerRequirementsNotMet")


def test_a_private_zone_answers_its_networks_alone_and_for_its_whole_suffix(cloud):
    make_zone(cloud)
    make_zone(cloud, "outside", networks=())
    add(cloud, record("db.corp.example.", "10.0.0.5"))
    add(
        cloud,
        record("db.corp.example.", "192.0.2.99"),
        record("www.corp.example.", "192.0.2.98"),
        zone="outside",
    )
    assert texts(cloud, "db.corp.example.") == [("db.corp.example.", "A", "10.0.0.5")]
    assert texts(cloud, "www.corp.example.") is None, "the public record is hidden"
    for network in (OTHER, None):
        assert texts(cloud, "db.corp.example.", network=network) == [("db.corp.example.", "A", "192.0.2.99")]
    assert texts(cloud, "db.corp.example.", "TXT") == []
    assert texts(cloud, "deeper.db.corp.example.") is None


def test_the_longest_zone_answers_and_aliases_are_followed_across_zones(cloud):
    make_zone(cloud)
    make_zone(cloud, "deep", "eu.corp.example.")
    add(cloud, record("app.corp.example.", "web.eu.corp.example.", kind="CNAME"))
    add(cloud, record("web.eu.corp.example.", "10.0.0.7"), zone="deep")
    assert texts(cloud, "app.corp.example.") == [
        ("app.corp.example.", "CNAME", "web.eu.corp.example."), ("web.eu.corp.example.", "A", "10.0.0.7")
    ]  # fmt: skip
    assert texts(cloud, "app.corp.example.", "CNAME") == [
        ("app.corp.example.", "CNAME", "web.eu.corp.example.")
    ]
    add(cloud, record("loop.corp.example.", "loop.corp.example.", kind="CNAME"))
    looped = texts(cloud, "loop.corp.example.")
    assert looped is not None
    assert len(looped) == 16


def test_wildcards_stand_for_what_does_not_exist(cloud):
    make_zone(cloud)
    add(cloud, record("*.corp.example.", "10.0.0.1"), record("a.b.corp.example.", "10.0.0.2"))
    assert texts(cloud, "x.corp.example.") == [("x.corp.example.", "A", "10.0.0.1")]
    assert texts(cloud, "x.y.corp.example.") == [("x.y.corp.example.", "A", "10.0.0.1")]
    assert texts(cloud, "b.corp.example.") == [], "it exists because of what is below it"
    assert texts(cloud, "x.b.corp.example.") is None, "RFC 4592: its closest name has no wildcard"


def test_a_peering_zone_shows_the_other_networks_view(cloud):
    make_zone(cloud, "there", networks=(OTHER.self_link,))
    add(cloud, record("db.corp.example.", "10.9.0.1"), zone="there")
    target = {"targetNetwork": {"networkUrl": OTHER.self_link}}
    make_zone(cloud, "here", peeringConfig=target)
    assert texts(cloud, "db.corp.example.") == [("db.corp.example.", "A", "10.9.0.1")]


def test_a_patch_changes_who_sees_a_zone(cloud):
    make_zone(cloud)
    add(cloud, record("db.corp.example.", "10.0.0.5"))
    seen = {"networks": [{"networkUrl": OTHER.self_link}]}
    done = cloud("dns.v1.managedZones.patch", {"privateVisibilityConfig": seen, "labels": {"a": "b"}},
                 project=PROJECT, managedZone="inside")  # fmt: skip
    assert (done["status"], done["zoneContext"]["newValue"]["labels"]) == ("done", {"a": "b"})
    assert texts(cloud, "db.corp.example.") is None
    assert texts(cloud, "db.corp.example.", network=OTHER) is not None
    operation = cloud(
        "dns.v1.managedZoneOperations.get", project=PROJECT, managedZone="inside", operation=done["id"]
    )
    assert operation == done
    assert refuse(cloud, "managedZones.patch", {"dnsName": "other."})[1] == "invalid"


def test_the_resolver_knows_its_client(cloud):
    make_zone(cloud)
    add(cloud, record("db.corp.example.", "10.0.0.5"))
    inside, outside = IPv4Address("169.254.16.1"), IPv4Address("169.254.16.2")
    answers = world_answers(lambda: cloud.world, lambda client: NETWORK if client == inside else None)
    assert [each.texts for each in known(answers(inside, "db.corp.example.", "A"))] == [("10.0.0.5",)]
    assert answers(outside, "db.corp.example.", "A") is None
    assert [each.texts for each in known(answers(outside, "ifconfig.me.", "A"))] == [("192.0.2.2",)]


def test_a_private_zone_may_hide_googles_own_names(cloud):
    make_zone(cloud, dns_name="googleapis.com.")
    add(cloud, record("*.googleapis.com.", "199.36.153.8"))
    assert texts(cloud, "run.googleapis.com.") == [("run.googleapis.com.", "A", "199.36.153.8")]
    assert texts(cloud, "run.googleapis.com.", network=OTHER) == [("run.googleapis.com.", "A", "192.0.2.1")]


def test_a_zone_has_a_policy_that_goes_with_it_and_echoes_what_it_has_not(cloud):
    made = make_zone(cloud, networks=(), dnssecConfig={"state": "off"})
    assert made["dnssecConfig"]["state"] == "off"
    path = f"projects/{PROJECT}/managedZones/inside"
    binding = {"role": "roles/dns.reader", "members": ["user:a@example.com"]}
    cloud("dns.v1.managedZones.setIamPolicy", {"policy": {"bindings": [binding]}}, resource=path)
    assert cloud("dns.v1.managedZones.getIamPolicy", resource=path)["bindings"] == [binding]
    cloud("dns.v1.managedZones.delete", project=PROJECT, managedZone="inside")
    assert not list(cloud.world.all("dns.policies"))


LABELS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3)


@given(st.lists(LABELS, max_size=6), LABELS)
def test_a_name_exists_when_it_or_something_below_it_has_records(owners, asked):
    with_project(PROJECT)
    cloud = Cloud(Put(worlds.network("main")))
    with_project("demo")
    make_zone(cloud)
    names = {f"{'.'.join(each)}.corp.example." for each in owners}
    if names:
        change(cloud, additions=[record(each, "10.0.0.1") for each in sorted(names)])
    name = f"{'.'.join(asked)}.corp.example."
    found = texts(cloud, name)
    if name in names:
        assert found == [(name, "A", "10.0.0.1")]
    elif any(each.endswith(f".{name}") for each in names):
        assert found == []
    else:
        assert found is None
