"""What the region is given of the Telemetry API."""

from fogbank.app.manifest import Manifest
from fogbank.services.telemetry import SERVICE

MANIFEST = Manifest(SERVICE, backend=lambda runtime: runtime)
