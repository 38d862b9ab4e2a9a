"""What the region is given of Serverless VPC Access."""

from fogbank.app.manifest import Manifest
from fogbank.services.vpcaccess import SERVICE

MANIFEST = Manifest(SERVICE)
