"""Secret Manager (``secretmanager.googleapis.com``): global secrets, their versions and their policies.

Secrets of one location, Pub/Sub topics, rotation and customer-managed keys are refused by name.
"""

from fogbank.services.access import iam_methods
from fogbank.services.contract import List, Read, Service, Write
from fogbank.services.locations import list_locations
from fogbank.services.secretmanager import secrets, versions

SERVICE = Service(
    name="secretmanager",
    title="Secret Manager API",
    versions=("v1",),
    methods={
        "projects.locations.list": List(
            list_locations, "locations", permission="secretmanager.locations.list"
        ),
        "projects.secrets.create": Write(secrets.create, "secretmanager.secrets.create"),
        "projects.secrets.get": Read(secrets.get, "secretmanager.secrets.get"),
        "projects.secrets.list": List(secrets.list_, "secrets", permission="secretmanager.secrets.list"),
        "projects.secrets.patch": Write(secrets.patch, "secretmanager.secrets.update"),
        "projects.secrets.delete": Write(secrets.delete, "secretmanager.secrets.delete"),
        "projects.secrets.addVersion": Write(versions.add, "secretmanager.versions.add"),
        "projects.secrets.versions.get": Read(versions.get, "secretmanager.versions.get"),
        "projects.secrets.versions.list": List(
            versions.list_, "versions", permission="secretmanager.versions.list"
        ),
        "projects.secrets.versions.access": Read(versions.access, "secretmanager.versions.access"),
        "projects.secrets.versions.enable": Write(versions.enable, "secretmanager.versions.enable"),
        "projects.secrets.versions.disable": Write(versions.disable, "secretmanager.versions.disable"),
        "projects.secrets.versions.destroy": Write(versions.destroy, "secretmanager.versions.destroy"),
        **iam_methods("projects.secrets.", secrets.guarded, "secretmanager.secrets"),
    },
)
