"""Which manifest a reference names, for somebody who wants to run it, and whether he may read it."""

from dataclasses import dataclass

from fogbank.resources.artifactregistry import DOWNLOAD, find_digest, policy_name, read_hosted
from fogbank.resources.authorization import Access
from fogbank.resources.images import ImageReference
from fogbank.resources.world import World


@dataclass(frozen=True, slots=True)
class Pull:
    """What was found: ``digest`` is None where there is no such image, or where it may not be read."""

    digest: str | None
    allowed: bool = True


def find_image(world: World, access: Access, image: ImageReference, reader: str) -> Pull | None:
    """Look an image up for ``reader`` (an e-mail address); None when it is in no repository of the region."""
    place = read_hosted(image)
    if place is None or world.find(place.repository) is None:
        return None
    repository = place.repository
    if not access.allows(world, reader, DOWNLOAD, repository.project, policy_name(repository)):
        return Pull(None, allowed=False)
    return Pull(find_digest(world, place, image.digest or image.tag or "latest"))
