"""What the region is given of Serverless VPC Access."""

from fogbank.app.manifest import Manifest
from fogbank.services.vpcaccess import SERVICE
from fogbank.services.vpcaccess.controller import make_controller

MANIFEST = Manifest(SERVICE, controller=make_controller)
