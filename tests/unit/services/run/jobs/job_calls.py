"""Bodies of jobs and short ways through both of Cloud Run's APIs, for the tests of jobs."""

from tests.cloud_calls import PLACE, PROJECT, REGION, Cloud

from fogbank.resources.run_jobs import execution_name, job_name
from fogbank.services.run.jobs import convergence
from fogbank.services.run.jobs.task_steps import Ended, Started

V1 = "run.v1.namespaces"
V2 = "run.v2.projects.locations.jobs"
NAMESPACE = f"namespaces/{PROJECT}"
IMAGE = "us-docker.pkg.dev/p/r/app:v1"
DIGEST = "sha256:" + "0" * 64


def job(name="sync", annotations=None, container=None, task=None, token=None, **spec):
    """A job as gcloud sends it; ``task`` are fields of a task's spec, ``spec`` those of an execution's."""
    return {
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": PROJECT, "labels": {}, "annotations": {}},
        "spec": {
            "template": {
                "metadata": {"annotations": annotations or {}, "labels": {"client.knative.dev/nonce": "a"}},
                "spec": spec
                | {
                    "template": {
                        "spec": {"containers": [{"image": IMAGE, "name": ""} | (container or {})]}
                        | (task or {})
                    }
                },
            }
        }
        | (token or {}),
        "status": {"latestCreatedExecution": {}},
    }


class Jobs(Cloud):
    """Jobs in one region."""

    def create(self, body=None, **parameters):
        body = body or job()
        return self(f"{V1}.jobs.create", body, parent=NAMESPACE, location=REGION, **parameters)

    def replace(self, body, name="sync"):
        return self(f"{V1}.jobs.replaceJob", body, name=f"{NAMESPACE}/jobs/{name}", location=REGION)

    def get(self, name="sync"):
        return self(f"{V1}.jobs.get", name=f"{NAMESPACE}/jobs/{name}", location=REGION)

    def execute(self, overrides=None, name="sync"):
        """Begin an execution; give its id."""
        body = {"overrides": overrides} if overrides else {}
        begun = self(f"{V1}.jobs.run", body, name=f"{NAMESPACE}/jobs/{name}", location=REGION)
        return begun["metadata"]["name"]

    def execution(self, identifier):
        return self(f"{V1}.executions.get", name=f"{NAMESPACE}/executions/{identifier}", location=REGION)

    def tasks(self, identifier):
        chosen = f"run.googleapis.com/execution = {identifier}"
        listed = self(f"{V1}.tasks.list", parent=NAMESPACE, location=REGION, labelSelector=chosen)
        return sorted(listed["items"], key=lambda each: each["status"]["index"])

    def image_found(self, name="sync"):
        generation = self.get(name)["metadata"]["generation"]
        found = job_name(PROJECT, REGION, name)
        self.make(convergence.image_found(self.world, found, generation, self.now))

    def imported(self, identifier):
        """Let the image of an execution be found."""
        self.make(convergence.image_imported(self.world, named(identifier), DIGEST, self.now))

    def report(self, identifier, *reports):
        self.make(convergence.reported(self.world, named(identifier), reports, self.now))

    def started(self, identifier, *indexes):
        self.report(identifier, *(Started(index, self.new_id()) for index in indexes))

    def ended(self, identifier, index, code=0, **more):
        self.report(identifier, Ended(index, code, **more))

    def conditions(self, identifier):
        return {each["type"]: each["status"] for each in self.execution(identifier)["status"]["conditions"]}

    def completed(self, identifier):
        conditions = self.execution(identifier)["status"]["conditions"]
        return next(each for each in conditions if each["type"] == "Completed")

    def v2(self, method, body=None, **parameters):
        return self(f"{V2}.{method}", body, **parameters)


def named(identifier):
    return execution_name(PROJECT, REGION, identifier)


def path(identifier, job="sync"):
    return f"{PLACE}/jobs/{job}/executions/{identifier}"
