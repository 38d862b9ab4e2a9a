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


def test_a_field_that_clients_send_and_the_description_lacks_is_known():
    probe = {"readinessProbe": {"successThreshold": "3", "httpGet": {}}}
    body = {"template": {"containers": [probe]}}
    converted = convert_request("run.v2", "GoogleCloudRunV2Service", body).body
    assert converted["template"]["containers"][0]["readinessProbe"]["successThreshold"] == 3


def test_all_problems_are_told_at_once():
    message = refusal("vpcaccess.v1", "Connector", {"x": 1, "subnet": {"y": 1}})
    assert message.count("Cannot find field.") == 2
    assert "at 'subnet'" in message


def test_compute_takes_one_message_for_a_list_of_them():
    key = {"name": "one", "key": "k"}
    converted = convert_request("compute.v1", "Router", {"md5AuthenticationKeys": key})
    assert converted.body == {"md5AuthenticationKeys": [key]}
    assert "md5AuthenticationKeys" in refusal("compute.v1", "Router", {"md5AuthenticationKeys": "one"})


def test_compute_passes_over_an_absent_message_in_a_list():
    body = {"nodeAffinities": [None]}  # what Terraform's provider writes for an empty list
    assert convert_request("compute.v1", "Scheduling", body).body == {"nodeAffinities": []}


def test_compute_leaves_out_what_it_does_not_know_and_says_so():
    body = {"name": "n", "initialNatIps": [], "logConfig": {"enable": True, "colour": "red"}}
    converted = convert_request("compute.v1", "RouterNat", body)
    assert converted.body == {"name": "n", "logConfig": {"enable": True}}
    assert converted.unknown == ("initialNatIps", "logConfig.colour")


@pytest.mark.parametrize(
    ("document", "name", "sent", "meant"),
    [
        (
            "compute.v1",
            "Address",
            {"address_type": "INTERNAL", "prefix_length": 24},
            {"addressType": "INTERNAL", "prefixLength": 24},
        ),
        ("vpcaccess.v1", "Connector", {"ip_cidr_range": "10.8.0.0/28"}, {"ipCidrRange": "10.8.0.0/28"}),
        (
            "run.v2",
            "GoogleCloudRunV2Service",
            {"template": {"vpc_access": {"egress": "ALL_TRAFFIC"}}},
            {"template": {"vpcAccess": {"egress": "ALL_TRAFFIC"}}},
        ),
    ],
)
def test_a_field_may_come_by_its_proto_name(document, name, sent, meant):
    assert convert_request(document, name, sent).body == meant


def test_an_answer_has_json_names_only():
    assert check_response("compute.v1", "Address", {"address_type": "INTERNAL"}) != []


def test_a_list_for_a_single_value_is_refused():
    assert "Proto field is not repeating" in refusal("compute.v1", "Firewall", {"name": ["a"]})


def test_a_word_for_a_number_is_refused():
    message = refusal("compute.v1", "Firewall", {"priority": "high"})
    assert message == "Invalid value at 'priority' (TYPE_INT32), \"high\""


SERVICE = "GoogleCloudRunV2Service"


@pytest.mark.parametrize(
    "text", ["bad", "", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "2026-01-01 00:00:00Z"]
)
def test_what_is_no_timestamp_is_refused_in_googles_words(text):
    assert refusal("run.v2", SERVICE, {"createTime": text}) == (
        "Invalid value at 'createTime' (type.googleapis.com/google.protobuf.Timestamp), Field 'createTime', "
        "Illegal timestamp format; timestamps must end with 'Z' or have a valid timezone offset."
    )


@pytest.mark.parametrize("text", ["soon", "", "300", "5m", "s", "1e3s"])
def test_what_is_no_duration_is_refused_in_googles_words(text):
    assert refusal("run.v2", SERVICE, {"template": {"timeout": text}}) == (
        "Invalid value at 'template.timeout' (type.googleapis.com/google.protobuf.Duration), "
        "Field 'timeout', Illegal duration format; duration must end with 's'"
    )


@pytest.mark.parametrize(
    "text", ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.123456789Z", "2026-01-01T09:00:00.5+09:00"]
)
@pytest.mark.parametrize("duration", ["300s", "1.5s", "0s"])
def test_times_stay_as_they_were_written(text, duration):
    body = {"createTime": text, "template": {"timeout": duration}}
    assert convert_request("run.v2", SERVICE, body).body == body


def test_an_unknown_enum_value_is_refused_in_computes_words():
    message = refusal("compute.v1", "Firewall", {"direction": "UP"})
    assert message.startswith("Invalid value for field 'resource.direction': 'UP'. Must be one of [")


def test_numbers_become_what_the_schema_says():
    body = {"priority": "900", "id": 5, "disabled": "true"}
    assert convert_request("compute.v1", "Firewall", body).body == {
        "priority": 900,
        "id": "5",
        "disabled": True,
    }


def test_enums_may_come_as_integers():
    body = {"addressType": java_hash("EXTERNAL")}
    assert java_hash("EXTERNAL") == 35607499
    assert convert_request("compute.v1", "Address", body).body == {"addressType": "EXTERNAL"}
    assert convert_request("run.v2", "GoogleCloudRunV2Service", {"ingress": 1}).body == {
        "ingress": "INGRESS_TRAFFIC_ALL"
    }


def test_read_only_fields_and_nulls_pass():
    body = {"kind": "compute#router", "selfLink": "x", "creationTimestamp": "y", "nats": None}
    assert convert_request("compute.v1", "Router", body).body == body


def test_a_list_has_no_nulls():
    refused = refusal("run.v2", "GoogleCloudRunV2RevisionTemplate", {"containers": [{}, None]})
    assert "Invalid value at 'containers[1]'" in refused
    assert "Invalid value at 'natIps[0]'" in refusal("compute.v1", "RouterNat", {"natIps": [None]})


def test_a_path_parameter_in_the_body_is_passed_over():
    assert convert_request("compute.v1", "Router", {"project": "p", "name": "r"}, {"project"}).body == {
        "name": "r"
    }


def test_an_answer_must_have_the_types_that_the_schema_says():
    assert check_response("compute.v1", "Subnetwork", {"id": "1", "name": "a"}) == []
    assert check_response("compute.v1", "Subnetwork", {"id": 1}) != []
    assert check_response("compute.v1", "Subnetwork", {"nome": "a"}) != []
