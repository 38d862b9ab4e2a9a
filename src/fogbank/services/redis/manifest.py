"""What the region is given of Memorystore for Redis."""

from fogbank.app.manifest import Manifest
from fogbank.services.redis import SERVICE
from fogbank.services.redis.controller import make_controller
from fogbank.services.redis.feature import FEATURES

MANIFEST = Manifest(SERVICE, features=FEATURES, controller=make_controller)
