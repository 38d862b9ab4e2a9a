"""What the region is given of Compute Engine's networking."""

from fogbank.app.manifest import Manifest
from fogbank.services.compute import SERVICE

MANIFEST = Manifest(SERVICE)
