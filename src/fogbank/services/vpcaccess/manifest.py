"""What the region is given of Serverless VPC Access."""

from fogbank.app.manifest import Manifest
from fogbank.services.vpcaccess import SERVICE
from fogbank.services.vpcaccess.controller import make_controller
from fogbank.services.vpcaccess.feature import FEATURES

MANIFEST = Manifest(SERVICE, features=FEATURES, controller=make_controller)
