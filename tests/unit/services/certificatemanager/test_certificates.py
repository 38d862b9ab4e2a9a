"""Certificates, their authorization and their maps."""

from datetime import timedelta

import pytest
from tests.cloud_calls import PROJECT, Cloud

from fogbank.frontend.pki import certificates as pki
from fogbank.services.certificatemanager.certificates import CERTIFICATES, issued

PLACE = f"projects/{PROJECT}/locations/global"
API = "certificatemanager.v1.projects.locations"


@pytest.fixture
def cloud() -> Cloud:
    made = Cloud()
    made(f"{API}.dnsAuthorizations.create", {"domain": "a.example"}, parent=PLACE, dnsAuthorizationId="auth")
    return made


def managed(cloud: Cloud, *domains: str) -> None:
    body = {"managed": {"domains": list(domains), "dnsAuthorizations": [f"{PLACE}/dnsAuthorizations/auth"]}}
    cloud(f"{API}.certificates.create", body, parent=PLACE, certificateId="cert")


def pair(*hosts: str) -> tuple[bytes, bytes]:
    return pki.new_authority("tests", timedelta(days=1))[0], pki.issue(
        *pki.new_authority("tests", timedelta(days=1)), hosts
    )


def test_an_authorization_names_a_record_that_stays_the_same(cloud):
    name = f"{PLACE}/dnsAuthorizations/auth"
    record = cloud(f"{API}.dnsAuthorizations.get", name=name)["dnsResourceRecord"]
    assert (record["name"], record["type"]) == ("_acme-challenge.a.example.", "CNAME")
    assert record["data"].endswith(".authorize.certificatemanager.goog.")
    assert cloud(f"{API}.dnsAuthorizations.get", name=name)["dnsResourceRecord"] == record


def test_an_authorization_covers_its_domain_and_the_wildcard_and_nothing_else(cloud):
    managed(cloud, "a.example", "*.a.example")
    body = {"managed": {"domains": ["b.example"], "dnsAuthorizations": [f"{PLACE}/dnsAuthorizations/auth"]}}
    refused = cloud.refused(f"{API}.certificates.create", body, parent=PLACE, certificateId="other")
    assert "'b.example'" in refused.message
    alone = {"managed": {"domains": ["*.b.example"]}}
    refused = cloud.refused(f"{API}.certificates.create", alone, parent=PLACE, certificateId="other")
    assert "DNS authorization" in refused.message


def test_a_managed_certificate_becomes_active_with_what_the_authority_issued(cloud):
    managed(cloud, "a.example")
    name = f"{PLACE}/certificates/cert"
    assert cloud(f"{API}.certificates.get", name=name)["managed"]["state"] == "PROVISIONING"
    _, pem = pair("a.example")
    cloud.make(tuple(issued(cloud.world, CERTIFICATES.named(PROJECT, "global", "cert"), pem, cloud.now)))
    found = cloud(f"{API}.certificates.get", name=name)
    assert (found["managed"]["state"], found["sanDnsnames"]) == ("ACTIVE", ["a.example"])
    assert "PRIVATE KEY" not in str(found)


def test_a_key_that_belongs_to_another_certificate_is_refused(cloud):
    other, pem = pair("a.example")
    key, marker, chain = pem.decode().partition("-----BEGIN CERTIFICATE-----")
    whole = {"pemCertificate": marker + chain, "pemPrivateKey": key}
    cloud(f"{API}.certificates.create", {"selfManaged": whole}, parent=PLACE, certificateId="own")
    assert "selfManaged" in cloud(f"{API}.certificates.get", name=f"{PLACE}/certificates/own")
    wrong = {"selfManaged": whole | {"pemPrivateKey": other.decode()}}
    refused = cloud.refused(f"{API}.certificates.create", wrong, parent=PLACE, certificateId="wrong")
    assert "does not belong" in refused.message


def test_an_entry_is_for_a_name_or_primary_and_active_when_its_certificate_is(cloud):
    managed(cloud, "a.example")
    cloud(f"{API}.certificateMaps.create", {}, parent=PLACE, certificateMapId="map")
    below, path = f"{PLACE}/certificateMaps/map", f"{API}.certificateMaps.certificateMapEntries"
    entry = {"certificates": [f"{PLACE}/certificates/cert"]}
    identified = {"parent": below, "certificateMapEntryId": "one"}
    assert cloud.refused(f"{path}.create", entry, **identified).code == 400
    both = entry | {"hostname": "a.example", "matcher": "PRIMARY"}
    assert cloud.refused(f"{path}.create", both, **identified).code == 400
    cloud(f"{path}.create", entry | {"hostname": "a.example"}, **identified)
    (found,) = cloud(f"{path}.list", parent=below)
    assert found["state"] == "PENDING"
    twice = cloud.refused(
        f"{path}.create", entry | {"hostname": "a.example"}, parent=below, certificateMapEntryId="two"
    )
    assert "already" in twice.message
    for name in ("certificates/cert", "dnsAuthorizations/auth", "certificateMaps/map"):
        kind = name.partition("/")[0]
        assert cloud.refused(f"{API}.{kind}.delete", name=f"{PLACE}/{name}").status == "FAILED_PRECONDITION"
    _, pem = pair("a.example")
    cloud.make(tuple(issued(cloud.world, CERTIFICATES.named(PROJECT, "global", "cert"), pem, cloud.now)))
    assert cloud(f"{path}.get", name=f"{below}/certificateMapEntries/one")["state"] == "ACTIVE"
    cloud(f"{path}.delete", name=f"{below}/certificateMapEntries/one")
    cloud(f"{API}.certificateMaps.delete", name=below)
