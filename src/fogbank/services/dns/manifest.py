"""What the region is given of Cloud DNS."""

from fogbank.app.manifest import Manifest
from fogbank.services.dns import SERVICE

MANIFEST = Manifest(SERVICE)
