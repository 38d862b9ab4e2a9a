"""Service Usage (``serviceusage.googleapis.com``): which APIs a project has enabled."""

from fogbank.services.contract import List, Read, Service, Write
from fogbank.services.serviceusage import apis

SERVICE = Service(
    name="serviceusage",
    methods={
        "services.get": Read(apis.get),
        "services.list": List(apis.list_, "services"),
        "services.batchGet": Read(apis.batch_get),
        "services.enable": Write(apis.enable),
        "services.disable": Write(apis.disable),
        "services.batchEnable": Write(apis.batch_enable),
    },
)
