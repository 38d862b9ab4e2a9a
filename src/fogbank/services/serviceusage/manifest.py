"""What the region is given of Service Usage."""

from fogbank.app.manifest import Manifest
from fogbank.services.serviceusage import SERVICE

MANIFEST = Manifest(SERVICE)
