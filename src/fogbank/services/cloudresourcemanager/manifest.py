"""What the region is given of Resource Manager."""

from fogbank.app.manifest import Manifest
from fogbank.services.cloudresourcemanager import SERVICE

MANIFEST = Manifest(SERVICE)
