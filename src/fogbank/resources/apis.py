"""The Google APIs that a project may enable, and which of them a project has from the start.

An API can be enabled whether the region implements it or not; what is not implemented says so when called.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from fogbank.errors import ApiError
from fogbank.resources.names import ResourceName
from fogbank.resources.projects import project_number
from fogbank.resources.world import Change, World

SERVICES = "serviceusage.services"

State = Literal["ENABLED", "DISABLED"]

NewId = Callable[[], int]
"""Draws one of Google's numeric ids."""

_OTHERS: Mapping[str, str] = {
    "aiplatform.googleapis.com": "Vertex AI API",
    "alloydb.googleapis.com": "AlloyDB API",
    "apigateway.googleapis.com": "API Gateway API",
    "apigee.googleapis.com": "Apigee API",
    "appengine.googleapis.com": "App Engine Admin API",
    "artifactregistry.googleapis.com": "Artifact Registry API",
    "bigquery.googleapis.com": "BigQuery API",
    "bigtable.googleapis.com": "Cloud Bigtable API",
    "billingbudgets.googleapis.com": "Cloud Billing Budget API",
    "binaryauthorization.googleapis.com": "Binary Authorization API",
    "certificatemanager.googleapis.com": "Certificate Manager API",
    "cloudapis.googleapis.com": "Google Cloud APIs",
    "cloudasset.googleapis.com": "Cloud Asset API",
    "cloudbilling.googleapis.com": "Cloud Billing API",
    "cloudbuild.googleapis.com": "Cloud Build API",
    "clouddeploy.googleapis.com": "Cloud Deploy API",
    "clouderrorreporting.googleapis.com": "Error Reporting API",
    "cloudfunctions.googleapis.com": "Cloud Functions API",
    "cloudkms.googleapis.com": "Cloud Key Management Service (KMS) API",
    "cloudprofiler.googleapis.com": "Cloud Profiler API",
    "cloudscheduler.googleapis.com": "Cloud Scheduler API",
    "cloudtasks.googleapis.com": "Cloud Tasks API",
    "cloudtrace.googleapis.com": "Cloud Trace API",
    "container.googleapis.com": "Kubernetes Engine API",
    "containeranalysis.googleapis.com": "Container Analysis API",
    "containerregistry.googleapis.com": "Container Registry API",
    "datastore.googleapis.com": "Cloud Datastore API",
    "deploymentmanager.googleapis.com": "Cloud Deployment Manager V2 API",
    "dns.googleapis.com": "Cloud DNS API",
    "domains.googleapis.com": "Cloud Domains API",
    "endpoints.googleapis.com": "Google Cloud Endpoints API",
    "eventarc.googleapis.com": "Eventarc API",
    "file.googleapis.com": "Cloud Filestore API",
    "firestore.googleapis.com": "Cloud Firestore API",
    "gkehub.googleapis.com": "GKE Hub API",
    "iap.googleapis.com": "Cloud Identity-Aware Proxy API",
    "identitytoolkit.googleapis.com": "Identity Toolkit API",
    "logging.googleapis.com": "Cloud Logging API",
    "managedkafka.googleapis.com": "Managed Service for Apache Kafka API",
    "memcache.googleapis.com": "Cloud Memorystore for Memcached API",
    "monitoring.googleapis.com": "Cloud Monitoring API",
    "networkconnectivity.googleapis.com": "Network Connectivity API",
    "networkmanagement.googleapis.com": "Network Management API",
    "networksecurity.googleapis.com": "Network Security API",
    "networkservices.googleapis.com": "Network Services API",
    "oslogin.googleapis.com": "Cloud OS Login API",
    "privateca.googleapis.com": "Certificate Authority API",
    "pubsub.googleapis.com": "Cloud Pub/Sub API",
    "recaptchaenterprise.googleapis.com": "reCAPTCHA Enterprise API",
    "redis.googleapis.com": "Google Cloud Memorystore for Redis API",
    "runtimeconfig.googleapis.com": "Cloud Runtime Configuration API",
    "secretmanager.googleapis.com": "Secret Manager API",
    "servicecontrol.googleapis.com": "Service Control API",
    "servicedirectory.googleapis.com": "Service Directory API",
    "servicemanagement.googleapis.com": "Service Management API",
    "servicenetworking.googleapis.com": "Service Networking API",
    "sourcerepo.googleapis.com": "Cloud Source Repositories API",
    "spanner.googleapis.com": "Cloud Spanner API",
    "sql-component.googleapis.com": "Cloud SQL",
    "sqladmin.googleapis.com": "Cloud SQL Admin API",
    "storage-api.googleapis.com": "Google Cloud Storage JSON API",
    "storage-component.googleapis.com": "Cloud Storage",
    "storage.googleapis.com": "Cloud Storage API",
    "sts.googleapis.com": "Security Token Service API",
    "trafficdirector.googleapis.com": "Traffic Director API",
    "workflows.googleapis.com": "Workflows API",
}
"""Name and title of Google's other APIs."""

_PARTS: Mapping[str, str] = {"sql-component.googleapis.com": "sqladmin.googleapis.com"}
"""Names without methods that clients want to have enabled beside the API that has them: gcloud does."""


def api_name(project: str, api: str) -> ResourceName:
    """Name an API's use by a project."""
    return ResourceName(SERVICES, f"projects/{project}/services/{api}")


def _nothing(_project: str, _now: datetime, _new_id: NewId) -> tuple[Change, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The APIs of a region, for whoever speaks about all of them (Service Usage, IAM, new projects).

    ``implemented`` has the title of each API that the region implements, by host: a project has them enabled
    from the start. ``permissions`` are those that the region knows. ``new_project`` makes what the APIs put
    into a new project, given its id, the time and where ids come from.
    """

    implemented: Mapping[str, str] = field(default_factory=dict)
    permissions: tuple[str, ...] = ()
    new_project: Callable[[str, datetime, NewId], tuple[Change, ...]] = _nothing

    @property
    def titles(self) -> Mapping[str, str]:
        """Host and title of every API that there is, in order, implemented or not."""
        return dict(sorted({**_OTHERS, **self.implemented}.items()))

    def state(self, world: World, project: str, api: str) -> State:
        """Return whether ``project`` has ``api`` enabled: what somebody chose, else the start."""
        found = world.find(api_name(project, api))
        if found is not None:
            return "ENABLED" if found.body["state"] == "ENABLED" else "DISABLED"
        return "ENABLED" if _PARTS.get(api, api) in self.implemented else "DISABLED"

    def check_enabled(self, world: World, project: str, api: str) -> None:
        """Refuse a call of ``api`` for a project that has disabled it (behaviour/api.md#enabling-apis)."""
        if api not in self.implemented or self.state(world, project, api) == "ENABLED":
            return
        number = project_number(world, project)
        raise ApiError(
            403,
            f"{self.implemented[api]} has not been used in project {number} before or it is disabled. Enable "
            f"it by visiting https://console.developers.google.com/apis/api/{api}/overview?project={number} "
            "then retry. If you enabled this API recently, wait a few minutes for the action to propagate to "
            "our systems and retry.",
            "PERMISSION_DENIED",
            "accessNotConfigured",
            (
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "SERVICE_DISABLED",
                    "domain": "googleapis.com",
                    "metadata": {"consumer": f"projects/{number}", "service": api},
                },
            ),
        )
