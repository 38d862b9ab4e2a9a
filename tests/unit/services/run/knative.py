"""Knative bodies and short ways through Cloud Run's v1 API, for its tests."""

from tests.cloud_calls import PROJECT, REGION, Cloud

from fogbank.resources.run import read_revision, read_service, service_name
from fogbank.services.run import convergence

SERVICES = "run.v1.namespaces.services"
REVISIONS = "run.v1.namespaces.revisions"
NAMESPACE = f"namespaces/{PROJECT}"


def knative(name="hello", annotations=None, labels=None, container=None, **spec):
    """A service as gcloud sends it."""
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"annotations": {}, "labels": {}, "name": name, "namespace": PROJECT},
        "spec": {
            "template": {
                "metadata": {
                    "annotations": annotations or {},
                    "labels": labels or {"client.knative.dev/nonce": "aaa"},
                },
                "spec": {
                    "containers": [{"image": "us-docker.pkg.dev/p/r/app:v1", "name": ""} | (container or {})],
                    "nodeSelector": {},
                }
                | spec,
            }
        },
        "status": {"address": {}},
    }


class Run(Cloud):
    """Cloud Run in one region."""

    def create(self, body, **parameters):
        return self(f"{SERVICES}.create", body, parent=NAMESPACE, location=REGION, **parameters)

    def replace(self, body, name="hello"):
        return self(f"{SERVICES}.replaceService", body, name=f"{NAMESPACE}/services/{name}", location=REGION)

    def get(self, name="hello"):
        return self(f"{SERVICES}.get", name=f"{NAMESPACE}/services/{name}", location=REGION)

    def delete(self, name="hello"):
        return self(f"{SERVICES}.delete", name=f"{NAMESPACE}/services/{name}", location=REGION)

    def revisions(self, selector=None):
        chosen = {"labelSelector": selector} if selector else {}
        return self(f"{REVISIONS}.list", parent=NAMESPACE, location=REGION, **chosen)["items"]

    def newest(self, name="hello"):
        service = read_service(self.world.get(service_name(PROJECT, REGION, name)))
        assert service.latest_created is not None
        return service.revision(service.latest_created)

    def ready(self, name="hello"):
        """Let the newest revision pass its probe."""
        containers = read_revision(self.world.get(self.newest(name))).containers
        digests = {each.image: "sha256:" + "0" * 64 for each in containers}
        self.make(convergence.images_resolved(self.world, self.newest(name), digests, self.now))
        self.make(convergence.revision_ready(self.world, self.newest(name), self.now))

    def fail(self, name="hello"):
        """Let the newest revision never listen."""
        message = convergence.container_failed_message(8080, "https://logs")
        self.make(
            convergence.revision_failed(
                self.world, self.newest(name), convergence.CONTAINER_FAILED, message, self.now
            )
        )

    def conditions(self, name="hello"):
        return {c["type"]: c["status"] for c in self.get(name)["status"]["conditions"]}
