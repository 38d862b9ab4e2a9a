"""Service Usage (``serviceusage.googleapis.com``): which APIs a project has enabled, and their agents."""

from fogbank.services.contract import List, Read, Service, Write
from fogbank.services.serviceusage import apis, identities

SERVICE = Service(
    name="serviceusage",
    methods={
        "services.get": Read(apis.get),
        "services.list": List(apis.list_, "services"),
        "services.batchGet": Read(apis.batch_get),
        "services.enable": Write(apis.enable),
        "services.disable": Write(apis.disable),
        "services.batchEnable": Write(apis.batch_enable),
        "v1beta1.services.generateServiceIdentity": Write(identities.generate),
    },
)
