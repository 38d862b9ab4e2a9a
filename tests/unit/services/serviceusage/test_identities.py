"""Service agents: one address for each API of a project."""

import pytest
from tests.cloud_calls import PROJECT, Cloud

from fogbank.resources.projects import usual_number

NUMBER = usual_number(PROJECT)


def generated(cloud, api):
    name = f"projects/{PROJECT}/services/{api}.googleapis.com"
    return cloud("serviceusage.v1beta1.services.generateServiceIdentity", {}, parent=name)


@pytest.mark.parametrize(
    ("api", "address"),
    [
        ("pubsub", f"service-{NUMBER}@gcp-sa-pubsub"),
        ("bigquery", f"bq-{NUMBER}@bigquery-encryption"),
        ("sqladmin", f"service-{NUMBER}@gcp-sa-cloud-sql"),
        ("run", f"service-{NUMBER}@serverless-robot-prod"),
    ],
)
def test_an_agent_is_named_after_the_project_and_the_api(api, address):
    operation = generated(Cloud(), api)
    assert operation.status == "DONE"
    assert operation.response["email"] == f"{address}.iam.gserviceaccount.com"


def test_generating_an_agent_again_gives_the_same():
    cloud = Cloud()
    assert generated(cloud, "alloydb").response == generated(cloud, "alloydb").response


def test_an_unknown_api_has_no_agent():
    name = f"projects/{PROJECT}/services/nothing.example.com"
    method = "serviceusage.v1beta1.services.generateServiceIdentity"
    assert Cloud().refused(method, {}, parent=name).code == 403
