"""Artifact Registry (``artifactregistry.googleapis.com``): repositories of Docker images and what is in them.

Images come by the registry's own protocol (`frontend.registry`), which asks `pushes` and `pulls` here.
Other formats than DOCKER, and repositories that mirror or join others, are refused by name.
"""

from fogbank.services.artifactregistry import images, repositories, tags, versions
from fogbank.services.contract import Service

SERVICE = Service(
    name="artifactregistry",
    title="Artifact Registry API",
    versions=("v1", "v1beta2"),
    methods={**repositories.METHODS, **images.METHODS, **versions.METHODS, **tags.METHODS},
    permissions=(
        "artifactregistry.repositories.createOnPush",
        "artifactregistry.repositories.deleteArtifacts",
        "artifactregistry.repositories.downloadArtifacts",
        "artifactregistry.repositories.uploadArtifacts",
        "artifactregistry.operations.get",
    ),
    operation_response=repositories.operation_response,
)
