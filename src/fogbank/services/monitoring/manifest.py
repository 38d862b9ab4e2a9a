"""What the region is given of Cloud Monitoring."""

from fogbank.app.manifest import Manifest
from fogbank.services.monitoring import SERVICE
from fogbank.services.monitoring.controller import make_controller

MANIFEST = Manifest(SERVICE, controller=make_controller, backend=lambda runtime: runtime.time_series)
