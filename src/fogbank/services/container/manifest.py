"""What the region is given of Kubernetes Engine."""

from fogbank.app.manifest import Manifest
from fogbank.services.container import SERVICE
from fogbank.services.container.controller import make_controller
from fogbank.services.container.feature import FEATURES

MANIFEST = Manifest(SERVICE, features=FEATURES, controller=make_controller)
