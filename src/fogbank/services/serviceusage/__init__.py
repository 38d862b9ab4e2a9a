"""Service Usage (``serviceusage.googleapis.com``): which APIs a project has enabled, and their agents."""

from fogbank.services.contract import List, Read, Service, Write, operation_permissions
from fogbank.services.serviceusage import apis, identities

SERVICE = Service(
    name="serviceusage",
    title="Service Usage API",
    versions=("v1", "v1beta1"),
    methods={
        "services.get": Read(apis.get, "serviceusage.services.get"),
        "services.list": List(apis.list_, "services", permission="serviceusage.services.list"),
        "services.batchGet": Read(apis.batch_get, "serviceusage.services.get"),
        "services.enable": Write(apis.enable, "serviceusage.services.enable"),
        "services.disable": Write(apis.disable, "serviceusage.services.disable"),
        "services.batchEnable": Write(apis.batch_enable, "serviceusage.services.enable"),
        "v1beta1.services.generateServiceIdentity": Write(
            identities.generate,
            "serviceusage.services.enable",  # unverified: Google documents no permission of its own
        ),
    },
    permissions=("serviceusage.services.use", *operation_permissions("serviceusage", "operations")),
)
