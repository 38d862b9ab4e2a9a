"""What the region is given of Cloud Trace."""

from fogbank.app.manifest import Manifest
from fogbank.services.cloudtrace import SERVICE

MANIFEST = Manifest(SERVICE, backend=lambda runtime: runtime.spans)
