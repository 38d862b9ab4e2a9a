"""What the region is given of service account credentials."""

from fogbank.app.manifest import Manifest
from fogbank.services.iamcredentials import SERVICE

MANIFEST = Manifest(SERVICE)
