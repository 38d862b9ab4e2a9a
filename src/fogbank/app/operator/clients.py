"""``fogbank env``, ``credentials``, ``images`` and ``down``: what clients need of a region, and its end."""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from fogbank.control.operator import Json, Question, Route
from fogbank.errors import DriverError, OperatorError

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True, slots=True)
class ClientsApi:
    """``images`` returns digests by name; ``user_document`` the credential file of an e-mail address.

    ``load_images`` takes the name of a file among the registry's uploads, and removes it.
    """

    variables: Callable[[], Mapping[str, str | None]]
    user_document: Callable[[str], Json]
    images: Callable[[], Mapping[str, str]]
    load_images: Callable[[str], Mapping[str, str]]
    stop: Callable[[], None]

    def routes(self) -> Iterable[Route]:
        """List what can be asked."""
        yield Route("GET", "environment", self.environment)
        yield Route("POST", "credentials", self.credentials)
        yield Route("GET", "images", self.list_images)
        yield Route("POST", "images", self.load)
        yield Route("POST", "down", self.down)

    def environment(self, _: Question) -> Json:
        """Return the variables that point clients at the region."""
        return dict(self.variables())

    def credentials(self, question: Question) -> Json:
        """Make the credential file of a user."""
        email = str(question.body["user"])
        if not _EMAIL.fullmatch(email):
            raise OperatorError(f"{email!r} is no e-mail address. Write it as in me@example.com.")
        if email.endswith(".gserviceaccount.com"):
            raise OperatorError(
                f"{email} is a service account and signs in with a key. Make one: "
                f"gcloud iam service-accounts keys create key.json --iam-account={email}"
            )
        return self.user_document(email)

    def list_images(self, _: Question) -> Json:
        """List the images in the region's store."""
        return {
            "images": [{"image": name, "digest": digest} for name, digest in sorted(self.images().items())]
        }

    async def load(self, question: Question) -> Json:
        """Put the images of an archive, which lies among the registry's uploads, into the region's store."""
        try:
            found = await asyncio.to_thread(self.load_images, str(question.body["archive"]))
        except DriverError as error:
            raise OperatorError(f"nothing was loaded: {error}") from error
        return {"images": [{"image": name, "digest": digest} for name, digest in found.items()]}

    def down(self, _: Question) -> Json:
        """End the region."""
        asyncio.get_running_loop().call_later(0.01, self.stop)
        return {}
