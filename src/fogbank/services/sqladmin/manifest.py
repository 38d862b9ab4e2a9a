"""What the region is given of Cloud SQL."""

from fogbank.app.manifest import Manifest
from fogbank.services.sqladmin import SERVICE
from fogbank.services.sqladmin.controller import make_controller
from fogbank.services.sqladmin.feature import FEATURES

MANIFEST = Manifest(SERVICE, features=FEATURES, controller=make_controller)
