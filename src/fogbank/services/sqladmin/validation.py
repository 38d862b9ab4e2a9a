"""What a Cloud SQL instance may be: its settings, their defaults, and refusals."""

import re
from typing import Any

from fogbank.errors import ApiError, not_built
from fogbank.resources.places import REGIONS
from fogbank.resources.world import Json, World
from fogbank.services.access import network_named
from fogbank.services.contract import Call
from fogbank.services.sqladmin.flags import check_flags
from fogbank.services.sqladmin.model import memory_of

VERSIONS = tuple(f"POSTGRES_{number}" for number in (12, 13, 14, 15, 16, 17, 18))
"""Every one of them is served by the PostgreSQL that the region has (behaviour/cloud-sql.md#versions)."""

ID_PATTERN = re.compile(r"[a-z]([a-z0-9-]{0,96}[a-z0-9])?")

_UNBUILT_SETTINGS = (
    "activeDirectoryConfig", "connectionPoolConfig", "dataCacheConfig", "sqlServerAuditConfig",
    "passwordValidationPolicy", "readPoolAutoScaleConfig",
)  # fmt: skip
_UNBUILT_FIELDS = (
    "masterInstanceName", "replicaConfiguration", "diskEncryptionConfiguration", "onPremisesConfiguration",
    "failoverReplica", "clone",
)  # fmt: skip


def invalid(message: str) -> ApiError:
    """Make Cloud SQL's 400."""
    return ApiError(400, message, "INVALID_ARGUMENT", "invalid")


def check_identity(body: Json) -> tuple[str, str, str]:
    """Return name, region and version of an instance that is asked for."""
    name = str(body.get("name") or "")
    if not ID_PATTERN.fullmatch(name):
        raise invalid(f"Invalid request: Invalid instance name ({name}).")
    for field in _UNBUILT_FIELDS:
        if body.get(field):
            raise not_built(f"sqladmin.instances with {field}")
    version = str(body.get("databaseVersion") or "MYSQL_8_0")
    if version.startswith(("MYSQL", "SQLSERVER")):
        raise not_built(f"Cloud SQL instances of {version} (PostgreSQL is)")
    if version not in VERSIONS:
        raise invalid(f"Invalid value at 'databaseVersion': {version}")
    region = str(body.get("region") or "us-central1")
    if region not in REGIONS:
        raise invalid(f"Invalid request: Invalid region ({region}).")
    return name, region, version


def complete_settings(world: World, call: Call, given: Json, project: str, region: str) -> Json:
    """Check settings and fill in Google's defaults."""
    for field in _UNBUILT_SETTINGS:
        if given.get(field):
            raise not_built(f"sqladmin.instances with settings.{field}")
    tier = str(given.get("tier") or "")
    try:
        memory_of(tier)
    except ValueError:
        raise invalid(f"Invalid request: Invalid Tier ({tier}) for (POSTGRES).") from None
    availability = given.get("availabilityType") or "ZONAL"
    if availability == "REGIONAL":
        raise not_built("sqladmin.instances with settings.availabilityType=REGIONAL")
    if given.get("edition") not in {None, "", "EDITION_UNSPECIFIED", "ENTERPRISE"}:
        raise not_built(f"sqladmin.instances with settings.edition={given['edition']}")
    backup = given.get("backupConfiguration") or {}
    zone = (given.get("locationPreference") or {}).get("zone") or REGIONS[region].zones[0]
    if zone not in REGIONS[region].zones:
        raise invalid(f"Invalid request: Zone ({zone}) is not in region ({region}).")
    kept = {key: value for key, value in given.items() if value not in (None, {}, [], "")}
    return {
        **kept,
        "kind": "sql#settings",
        "tier": tier,
        "edition": "ENTERPRISE",
        "activationPolicy": _activation(given),
        "availabilityType": availability,
        "pricingPlan": "PER_USE",
        "replicationType": "SYNCHRONOUS",
        "dataDiskSizeGb": str(given.get("dataDiskSizeGb") or 10),
        "dataDiskType": given.get("dataDiskType") or "PD_SSD",
        "storageAutoResize": given.get("storageAutoResize", True),
        "storageAutoResizeLimit": str(given.get("storageAutoResizeLimit") or 0),
        "deletionProtectionEnabled": bool(given.get("deletionProtectionEnabled")),
        "connectorEnforcement": given.get("connectorEnforcement") or "NOT_REQUIRED",
        "locationPreference": {"kind": "sql#locationPreference", "zone": zone},
        "backupConfiguration": _no_backups(backup),
        "ipConfiguration": _ip(world, call, given.get("ipConfiguration") or {}, project),
        **({"databaseFlags": check_flags(given["databaseFlags"])} if given.get("databaseFlags") else {}),
    }


def _activation(given: Json) -> str:
    policy = given.get("activationPolicy") or "ALWAYS"
    if policy not in {"ALWAYS", "NEVER", "SQL_ACTIVATION_POLICY_UNSPECIFIED"}:
        raise not_built(f"sqladmin.instances with settings.activationPolicy={policy}")
    return "NEVER" if policy == "NEVER" else "ALWAYS"


def _no_backups(given: Json) -> Json:
    if given.get("enabled") or given.get("pointInTimeRecoveryEnabled"):
        raise not_built("backups of Cloud SQL (settings.backupConfiguration.enabled): give --no-backup")
    return {
        "kind": "sql#backupConfiguration",
        "enabled": False,
        "startTime": given.get("startTime") or "00:00",
        "transactionLogRetentionDays": 7,
        "backupRetentionSettings": {"retentionUnit": "COUNT", "retainedBackups": 7},
    }


def _ip(world: World, call: Call, given: Json, project: str) -> Json:
    network = given.get("privateNetwork")
    if given.get("ipv4Enabled", True) or not network:
        raise not_built(
            "public addresses of Cloud SQL instances (settings.ipConfiguration.ipv4Enabled): give "
            "--no-assign-ip and --network"
        )
    if given.get("pscConfig"):
        raise not_built("sqladmin.instances with settings.ipConfiguration.pscConfig")
    usual = "ENCRYPTED_ONLY" if given.get("requireSsl") else "ALLOW_UNENCRYPTED_AND_ENCRYPTED"
    mode = given.get("sslMode") or usual
    if mode == "TRUSTED_CLIENT_CERTIFICATE_REQUIRED":
        raise not_built(f"sqladmin.instances with settings.ipConfiguration.sslMode={mode}")
    kept = {key: value for key, value in given.items() if value not in (None, {}, [], "")}
    return {
        **kept,
        "ipv4Enabled": False,
        "privateNetwork": network_named(world, call, str(network), project, _wrong).path,
        "sslMode": mode,
        "requireSsl": mode != "ALLOW_UNENCRYPTED_AND_ENCRYPTED",
        "serverCaMode": given.get("serverCaMode") or "GOOGLE_MANAGED_INTERNAL_CA",
    }


def _wrong(why: str) -> ApiError:
    return invalid(f"Invalid request: {why}")


RESERVED = {
    "user": re.compile(r"(pg_|cloudsql).*|public|none"),
    "database": re.compile(r"template[01]|cloudsqladmin"),
}
"""Roles and databases of PostgreSQL's and of Cloud SQL's own (behaviour/cloud-sql.md#instances)."""


def check_word(value: Any, what: str) -> str:
    """Check the name of a ``user`` or a ``database``."""
    text = str(value or "")
    if not text or len(text.encode()) > 63 or any(each in text for each in "\0\"'\\\n\r"):
        raise invalid(f"Invalid request: Invalid {what} name ({text[:70]}).")
    if RESERVED[what].fullmatch(text):
        raise invalid(f"Invalid request: The {what} name ({text}) is reserved.")
    return text
