"""What the region is given of Identity and Access Management; keys are made with the region's chance."""

from fogbank.app.manifest import Manifest
from fogbank.frontend.iam.accounts import make_key
from fogbank.services.iam import with_keys

MANIFEST = Manifest(with_keys(make_key))
