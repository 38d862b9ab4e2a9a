"""Bodies are checked and converted as Google does it."""

import pytest

from fogbank.discovery.schemas import check_response, convert_request, java_hash
from fogbank.errors import ApiError


def refusal(document, name, body):
    with pytest.raises(ApiError) as caught:
        convert_request(document, name, body)
    assert caught.value.code == 400
    return caught.value.message


def test_an_unknown_field_is_named_with_its_place():
    message = refusal("run.v1", "Service", {"spec": {"template": {"spec": {"contaners": []}}}})
    place = "at 'spec.template.spec'"
    assert message == f'Invalid JSON payload received. Unknown name "contaners" {place}: Cannot find field.'


def test_all_problems_are_told_at_once():
    message = refusal("compute.v1", "Firewall", {"x": 1, "allowed": [{"y": 1}]})
    assert message.count("Cannot find field.") == 2
    assert "at 'allowed[0]'" in message


def test_a_list_for_a_single_value_is_refused():
    assert "Proto field is not repeating" in refusal("compute.v1", "Firewall", {"name": ["a"]})


def test_a_word_for_a_number_is_refused():
    message = refusal("compute.v1", "Firewall", {"priority": "high"})
    assert message == "Invalid value at 'priority' (TYPE_INT32), \"high\""


def test_an_unknown_enum_value_is_refused_in_computes_words():
    message = refusal("compute.v1", "Firewall", {"direction": "UP"})
    assert message.startswith("Invalid value for field 'resource.direction': 'UP'. Must be one of [")


def test_numbers_become_what_the_schema_says():
    body = {"priority": "900", "id": 5, "disabled": "true"}
    assert convert_request("compute.v1", "Firewall", body) == {"priority": 900, "id": "5", "disabled": True}


def test_enums_may_come_as_integers():
    body = {"addressType": java_hash("EXTERNAL")}
    assert java_hash("EXTERNAL") == 35607499
    assert convert_request("compute.v1", "Address", body) == {"addressType": "EXTERNAL"}
    assert convert_request("run.v2", "GoogleCloudRunV2Service", {"ingress": 1}) == {
        "ingress": "INGRESS_TRAFFIC_ALL"
    }


def test_read_only_fields_and_nulls_pass():
    body = {"kind": "compute#router", "selfLink": "x", "creationTimestamp": "y", "nats": None}
    assert convert_request("compute.v1", "Router", body) == body


def test_a_path_parameter_in_the_body_is_passed_over():
    assert convert_request("compute.v1", "Router", {"project": "p", "name": "r"}, {"project"}) == {
        "name": "r"
    }


def test_an_answer_must_have_the_types_that_the_schema_says():
    assert check_response("compute.v1", "Subnetwork", {"id": "1", "name": "a"}) == []
    assert check_response("compute.v1", "Subnetwork", {"id": 1}) != []
    assert check_response("compute.v1", "Subnetwork", {"nome": "a"}) != []
