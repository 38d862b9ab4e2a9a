"""What the region is given of Cloud DNS."""

from fogbank.app.manifest import Manifest
from fogbank.services.dns import SERVICE
from fogbank.services.dns.feature import FEATURES

MANIFEST = Manifest(SERVICE, features=FEATURES)
