"""Enums as numbers, both ways."""

from fogbank.discovery.enums import with_numbers
from fogbank.discovery.schemas import convert_request, java_hash


def test_an_enum_is_its_place_in_the_list():
    project = {"projectId": "p", "state": "ACTIVE", "labels": {"state": "ACTIVE"}}
    shown = with_numbers("cloudresourcemanager.v3", "Project", project)
    assert shown == {"projectId": "p", "state": 1, "labels": {"state": "ACTIVE"}}


def test_enums_inside_lists_and_messages_are_numbers_too():
    listed = {"projects": [{"state": "DELETE_REQUESTED"}], "nextPageToken": "x"}
    shown = with_numbers("cloudresourcemanager.v3", "ListProjectsResponse", listed)
    assert shown == {"projects": [{"state": 2}], "nextPageToken": "x"}


def test_launch_stages_have_numbers_of_their_own():
    assert with_numbers("run.v2", "GoogleCloudRunV2Service", {"launchStage": "GA"}) == {"launchStage": 4}


def test_enums_of_compute_are_hashes():
    shown = with_numbers("compute.v1", "Address", {"addressType": "EXTERNAL"})
    assert shown == {"addressType": java_hash("EXTERNAL")}


def test_a_request_may_send_back_what_it_got():
    body = {"launchStage": 3, "ingress": 1}
    converted = convert_request("run.v2", "GoogleCloudRunV2Service", body).body
    assert converted == {"launchStage": "BETA", "ingress": "INGRESS_TRAFFIC_ALL"}
    assert with_numbers("run.v2", "GoogleCloudRunV2Service", converted) == body


def test_what_the_schema_does_not_know_stays():
    assert with_numbers("cloudresourcemanager.v3", "Project", {"state": "NEW", "more": [1]}) == {
        "state": "NEW",
        "more": [1],
    }
