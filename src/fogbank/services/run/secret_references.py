"""How a template names secrets: what could be none is refused when it is written.

Whether a secret is there and may be read is found out when an instance starts
(behaviour/cloud-run.md#secrets).
"""

import re

from fogbank.services.run.objects import bad_request

_SECRET = re.compile(r"[A-Za-z0-9_-]{1,255}")
_PATH = re.compile(r"projects/[^/,:]+/secrets/[A-Za-z0-9_-]{1,255}")
_VERSION = re.compile(r"[1-9][0-9]{0,9}|[A-Za-z][A-Za-z0-9_-]{0,62}")


def check_secret(name: str, version: str | None, where: str) -> None:
    """Refuse a reference to a secret or to its version that could be none."""
    if not _SECRET.fullmatch(name) and not _PATH.fullmatch(name):
        raise bad_request(f"{where}.name: '{name}' is not a secret's name.")
    if version is not None and not _VERSION.fullmatch(version):
        raise bad_request(
            f"{where}.key: '{version}' must be 'latest', a version's number or an alias of a version."
        )


def check_aliases(text: str) -> None:
    """Refuse an annotation that gives secrets of other projects names and cannot be read."""
    for each in filter(None, text.split(",")):
        alias, colon, path = each.strip().partition(":")
        if not colon or not _SECRET.fullmatch(alias) or not _PATH.fullmatch(path.strip()):
            raise bad_request(
                f"run.googleapis.com/secrets: '{each}' must be ALIAS:projects/PROJECT/secrets/SECRET."
            )
