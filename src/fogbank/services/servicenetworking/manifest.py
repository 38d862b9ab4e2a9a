"""What the region is given of the Service Networking API."""

from fogbank.app.manifest import Manifest
from fogbank.services.servicenetworking import SERVICE

MANIFEST = Manifest(SERVICE)
