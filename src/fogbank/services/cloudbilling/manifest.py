"""What the region is given of the Cloud Billing API."""

from fogbank.app.manifest import Manifest
from fogbank.services.cloudbilling import SERVICE

MANIFEST = Manifest(SERVICE)
