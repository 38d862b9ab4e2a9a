"""What the region is given of Artifact Registry."""

from fogbank.app.manifest import Manifest
from fogbank.services.artifactregistry import SERVICE

MANIFEST = Manifest(SERVICE)
