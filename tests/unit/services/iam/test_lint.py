"""Conditions are checked before they are set."""

from tests.cloud_calls import Cloud

LINT = "iam.v1.iamPolicies.lintPolicy"


def test_a_condition_that_cannot_be_read_is_told_and_one_that_can_is_not():
    cloud = Cloud()
    assert cloud(LINT, {"condition": {"expression": "resource.name == 'x'"}}) == {}
    (found,) = cloud(LINT, {"condition": {"expression": "resource.nam == 'x'"}})["lintResults"]
    assert (found["severity"], found["fieldName"]) == ("ERROR", "condition.expression")
    assert "undeclared reference to 'resource.nam'" in found["debugMessage"]
