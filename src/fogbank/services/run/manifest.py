"""What the region is given of Cloud Run."""

from fogbank.app.manifest import Manifest
from fogbank.services.run import SERVICE
from fogbank.services.run.controller import make_controller
from fogbank.services.run.feature import FEATURES

MANIFEST = Manifest(SERVICE, features=FEATURES, controller=make_controller)
