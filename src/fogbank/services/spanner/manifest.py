"""What the region is given of Spanner."""

from fogbank.app.manifest import Manifest
from fogbank.services.spanner import SERVICE
from fogbank.services.spanner.controller import EmulatorClient

MANIFEST = Manifest(SERVICE, backend=lambda _runtime: EmulatorClient())
