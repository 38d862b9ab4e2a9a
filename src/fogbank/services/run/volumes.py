"""The volumes of a template and where containers mount them: defaults and refusals.

Secrets and memory are built; what lies outside the instance is refused by name.
"""

import re
from collections.abc import Iterable
from typing import Any

from fogbank.errors import not_built
from fogbank.resources.quantities import memory_bytes
from fogbank.resources.world import Json
from fogbank.services.run.objects import bad_request, without_empty
from fogbank.services.run.secret_references import check_secret

_VOLUMES = "spec.template.spec.volumes"
_LATER = {
    "csi": "Cloud Storage volumes of Cloud Run",
    "gcs": "Cloud Storage volumes of Cloud Run",
    "nfs": "NFS volumes of Cloud Run",
    "filestore": "Filestore volumes of Cloud Run",
    "configMap": "config maps of Cloud Run",
}
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_CONNECTION = re.compile(r"[a-z][a-z0-9.:-]*[a-z0-9]:[a-z0-9-]+:[a-z][a-z0-9-]*")
_MOST_MODE = 0o777
_KEPT_FREE = ("/", "/dev", "/proc", "/sys")


def complete_volumes(volumes: list[Json]) -> list[Json]:
    """Fill in the defaults of a template's volumes; an empty ``emptyDir`` is one."""
    return [_complete(each) for each in volumes]


def _complete(volume: Json) -> Json:
    kept = without_empty(volume)
    empty = volume.get("emptyDir")
    return kept | {"emptyDir": without_empty(empty)} if empty is not None else kept


def check_volumes(volumes: list[Json]) -> None:
    """Refuse completed volumes that no instance here could have."""
    names = [each.get("name", "") for each in volumes]
    for index, volume in enumerate(volumes):
        where = f"{_VOLUMES}[{index}]"
        if not _NAME.fullmatch(names[index]):
            raise bad_request(f"{where}.name: '{names[index]}' is not a valid name of a volume.")
        if names.count(names[index]) > 1:
            raise bad_request(f"{where}.name: the name '{names[index]}' is used twice.")
        for key, what in _LATER.items():
            if key in volume:
                raise not_built(f"{what} (volumes.{key})")
        if sum(source in volume for source in ("secret", "emptyDir", "cloudSqlInstance")) != 1:
            raise bad_request(f"{where}: must have exactly one source.")
        if "cloudSqlInstance" in volume:
            check_cloud_sql(volume["cloudSqlInstance"].get("instances") or ("",))
        elif "secret" in volume:
            _check_secret_volume(volume["secret"], f"{where}.secret")
        else:
            _check_memory(volume["emptyDir"], f"{where}.empty_dir")


def check_cloud_sql(connections: Iterable[str]) -> None:
    """Refuse what is no connection name of a Cloud SQL instance."""
    for each in connections:
        if not _CONNECTION.fullmatch(each):
            raise bad_request(
                f"'{each}' is not a Cloud SQL connection name of the form PROJECT:REGION:INSTANCE."
            )


def _check_memory(source: Json, where: str) -> None:
    medium = source.get("medium", "Memory")
    if medium != "Memory":
        raise not_built(f"volumes of Cloud Run on a disk (emptyDir.medium {medium})")
    limit = source.get("sizeLimit")
    try:
        valid = limit is None or memory_bytes(limit) > 0
    except ValueError:
        valid = False
    if not valid:
        raise bad_request(f"{where}.size_limit: '{limit}' is not a size such as 256Mi.")


def _check_secret_volume(source: Json, where: str) -> None:
    check_secret(source.get("secretName", ""), None, where)
    _check_mode(source.get("defaultMode"), f"{where}.default_mode")
    paths: list[str] = []
    for index, item in enumerate(source.get("items") or ()):
        at = f"{where}.items[{index}]"
        check_secret(source["secretName"], item.get("key") or None, at)
        _check_mode(item.get("mode"), f"{at}.mode")
        path = item.get("path", "")
        if not path or path.startswith("/") or any(step in {"", ".", ".."} for step in path.split("/")):
            raise bad_request(f"{at}.path: '{path}' must be a relative path without '..'.")
        if path in paths:
            raise bad_request(f"{at}.path: '{path}' is used twice.")
        for other in paths:
            if f"{path}/".startswith(f"{other}/") or f"{other}/".startswith(f"{path}/"):
                raise bad_request(f"{at}.path: '{path}' and '{other}' cannot both be files.")
        paths.append(path)


def _check_mode(mode: int | None, where: str) -> None:
    if mode is not None and not 0 <= int(mode) <= _MOST_MODE:
        raise bad_request(f"{where}: must be between 0 and 0777.")


def check_mounts(containers: list[Json], volumes: list[Json]) -> None:
    """Refuse mounts of what is no volume, and at paths where nothing can be mounted."""
    kinds = {each["name"]: "secret" if "secret" in each else "memory" for each in volumes}
    for index, container in enumerate(containers):
        taken: list[str] = []
        for number, mount in enumerate(container.get("volumeMounts", ())):
            where = f"spec.template.spec.containers[{index}].volume_mounts[{number}]"
            _check_mount(mount, kinds, where)
            path = mount["mountPath"].rstrip("/")
            if path in taken:
                raise bad_request(f"{where}.mount_path: '{path}' is used twice.")
            taken.append(path)


def _check_mount(mount: Any, kinds: dict[str, str], where: str) -> None:
    name, path = mount.get("name", ""), mount.get("mountPath", "")
    if name not in kinds:
        raise bad_request(f"{where}.name: there is no volume '{name}'.")
    if mount.get("subPath"):
        if kinds[name] == "secret":
            raise bad_request(f"{where}.sub_path: is not supported for secret volumes.")
        raise not_built("sub paths of volumes of Cloud Run (volumeMounts.subPath)")
    steps = path.split("/")[1:]
    if not path.startswith("/") or ":" in path or any(step in {".", ".."} for step in steps):
        raise bad_request(f"{where}.mount_path: '{path}' should be a valid unix absolute path.")
    if any(
        path.rstrip("/") == free.rstrip("/") or path.startswith(f"{free}/") for free in _KEPT_FREE[1:]
    ) or (not path.strip("/")):
        raise bad_request(f"{where}.mount_path: nothing can be mounted at '{path}'.")
