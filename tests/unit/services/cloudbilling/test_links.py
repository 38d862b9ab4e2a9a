"""Links from projects to billing accounts."""

import pytest
from tests.cloud_calls import PROJECT, Cloud

GET, UPDATE = "cloudbilling.v1.projects.getBillingInfo", "cloudbilling.v1.projects.updateBillingInfo"
NAME = f"projects/{PROJECT}"
ACCOUNT = "billingAccounts/012345-567890-ABCDEF"


def test_a_project_has_no_account_until_it_is_linked_and_after_it_is_unlinked():
    cloud = Cloud()
    without = {
        "name": f"{NAME}/billingInfo",
        "projectId": PROJECT,
        "billingAccountName": "",
        "billingEnabled": False,
    }
    linked = without | {"billingAccountName": ACCOUNT, "billingEnabled": True}
    assert cloud(GET, name=NAME) == without
    assert cloud(UPDATE, {"billingAccountName": ACCOUNT}, name=NAME) == linked
    assert cloud(GET, name=NAME) == linked
    assert cloud(UPDATE, {"billingAccountName": ""}, name=NAME) == without
    assert cloud(GET, name=NAME) == without


@pytest.mark.parametrize("account", ["012345-567890-ABCDEF", "billingAccounts/x", "billingAccounts/"])
def test_what_is_no_accounts_name_is_refused(account):
    assert Cloud().refused(UPDATE, {"billingAccountName": account}, name=NAME).code == 400


def test_a_project_that_does_not_exist_is_refused_like_one_that_may_not_be_seen():
    assert Cloud().refused(GET, name="projects/somebody-elses").code == 403


def test_everybody_may_link_projects_to_an_account_and_do_nothing_else_with_it():
    asked = {"permissions": ["billing.resourceAssociations.create", "billing.accounts.close"]}
    tested = "cloudbilling.v1.billingAccounts.testIamPermissions"
    assert Cloud()(tested, asked, resource=ACCOUNT) == {"permissions": asked["permissions"][:1]}
    assert Cloud().refused(tested, asked, resource="billingAccounts/x").code == 400
