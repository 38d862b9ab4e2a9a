"""Volumes and secrets in v2: other names for what v1 has, and secrets of other projects by their paths.

v1 has an alias for such a secret in an annotation of the template; here it is made and read back.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fogbank.resources.run_containers import SECRET_ALIASES
from fogbank.resources.secrets import LATEST
from fogbank.resources.world import Json
from fogbank.services.run.objects import without_empty


class Aliases:
    """The names that one template gives secrets of other projects."""

    def __init__(self, annotation: str = "") -> None:
        pairs = (each.partition(":") for each in annotation.split(",") if each)
        self._paths = {alias.strip(): path.strip() for alias, _, path in pairs}

    def name(self, secret: str) -> str:
        """Return v1's name of a secret, a new alias when it is of another project."""
        if "/" not in secret:
            return secret
        known = next((alias for alias, path in self._paths.items() if path == secret), None)
        if known is None:
            known = f"secret-{len(self._paths) + 1}"
            self._paths[known] = secret
        return known

    def path(self, name: str) -> str:
        """Return v2's name of a secret."""
        return self._paths.get(name, name)

    def annotations(self) -> dict[str, str]:
        """Write them as v1 does."""
        text = ",".join(f"{alias}:{path}" for alias, path in self._paths.items())
        return {SECRET_ALIASES: text} if text else {}


def parse_variable(variable: Json, aliases: Aliases) -> Json:
    """Read a variable of a container's environment."""
    name, source = variable.get("name", ""), (variable.get("valueSource") or {}).get("secretKeyRef")
    if not source:
        return {"name": name, "value": variable.get("value", "")}
    chosen = {"name": aliases.name(source.get("secret", "")), "key": source.get("version") or LATEST}
    return {"name": name, "valueFrom": {"secretKeyRef": chosen}}


def render_variables(variables: Iterable[Json], aliases: Aliases) -> Iterator[Json]:
    """Render the variables of a container."""
    for variable in variables:
        source = variable.get("valueFrom", {}).get("secretKeyRef")
        if source is None:
            yield variable
            continue
        chosen = {"secret": aliases.path(source["name"]), "version": source.get("key")}
        yield {"name": variable["name"], "valueSource": {"secretKeyRef": without_empty(chosen)}}


def parse_volume(volume: Json, aliases: Aliases) -> Json:
    """Read a volume."""
    parsed = {key: value for key, value in volume.items() if key not in {"secret", "emptyDir"}}
    if secret := volume.get("secret"):
        items = [
            without_empty(
                {"key": each.get("version") or LATEST, "path": each.get("path"), "mode": each.get("mode")}
            )
            for each in secret.get("items") or ()
        ]
        source = {
            "secretName": aliases.name(secret.get("secret", "")),
            "defaultMode": secret.get("defaultMode"),
            "items": items,
        }
        parsed["secret"] = without_empty(source)
    if (empty := volume.get("emptyDir")) is not None:
        medium = empty.get("medium")
        size = {"sizeLimit": empty["sizeLimit"]} if empty.get("sizeLimit") else {}
        parsed["emptyDir"] = {"medium": "Disk" if medium == "DISK" else "Memory", **size}
    return parsed


def render_volume(volume: Json, aliases: Aliases) -> Json:
    """Render a volume."""
    shown: dict[str, Any] = {"name": volume["name"]}
    if source := volume.get("secret"):
        items = [
            without_empty({"version": each.get("key"), "path": each["path"], "mode": each.get("mode")})
            for each in source.get("items", ())
        ]
        fields = {
            "secret": aliases.path(source["secretName"]),
            "defaultMode": source.get("defaultMode"),
            "items": items,
        }
        shown["secret"] = without_empty(fields)
    if (empty := volume.get("emptyDir")) is not None:
        shown["emptyDir"] = {**empty, "medium": empty.get("medium", "Memory").upper()}
    if (sockets := volume.get("cloudSqlInstance")) is not None:
        shown["cloudSqlInstance"] = sockets
    return shown


def render_mounts(mounts: Iterable[Mapping[str, Any]]) -> list[Json]:
    """Render where volumes are: v2 does not say that they can only be read."""
    return [{"name": each["name"], "mountPath": each["mountPath"]} for each in mounts]
