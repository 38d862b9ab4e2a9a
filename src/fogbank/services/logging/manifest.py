"""What the region is given of Cloud Logging."""

from fogbank.app.manifest import Manifest
from fogbank.services.logging import SERVICE

MANIFEST = Manifest(SERVICE, backend=lambda runtime: runtime.log_entries)
