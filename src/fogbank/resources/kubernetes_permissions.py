"""Which permission of IAM a request to a cluster needs: ``container.pods.list`` to list pods.

IAM may allow what the cluster's own roles (RBAC) do not, and never refuses what these allow. See
behaviour/kubernetes-engine.md#access.
"""

from fogbank.resources.predefined_roles import is_permission
from fogbank.resources.world import Json

_VERBS = {"watch": "list", "patch": "update", "deletecollection": "delete"}
_SUBRESOURCES = {
    "log": "getLogs",
    "portforward": "portForward",
    "eviction": "evict",
    "token": "createToken",
    "approval": "approve",
}
_OTHERS = "thirdPartyObjects"
"""What IAM calls objects of kinds that it does not know by name."""

_KINDS = {
    "certificatesigningrequests": "certificateSigningRequests",
    "clusterrolebindings": "clusterRoleBindings",
    "clusterroles": "clusterRoles",
    "configmaps": "configMaps",
    "controllerrevisions": "controllerRevisions",
    "cronjobs": "cronJobs",
    "csidrivers": "csiDrivers",
    "csinodes": "csiNodes",
    "customresourcedefinitions": "customResourceDefinitions",
    "daemonsets": "daemonSets",
    "endpointslices": "endpointSlices",
    "horizontalpodautoscalers": "horizontalPodAutoscalers",
    "limitranges": "limitRanges",
    "networkpolicies": "networkPolicies",
    "persistentvolumeclaims": "persistentVolumeClaims",
    "persistentvolumes": "persistentVolumes",
    "poddisruptionbudgets": "podDisruptionBudgets",
    "podtemplates": "podTemplates",
    "priorityclasses": "priorityClasses",
    "replicasets": "replicaSets",
    "replicationcontrollers": "replicationControllers",
    "resourcequotas": "resourceQuotas",
    "rolebindings": "roleBindings",
    "runtimeclasses": "runtimeClasses",
    "serviceaccounts": "serviceAccounts",
    "statefulsets": "statefulSets",
    "storageclasses": "storageClasses",
    "volumeattachments": "volumeAttachments",
}


def permission_of(attributes: Json) -> str:
    """Return the permission that a request needs, given its attributes (verb, resource, subresource)."""
    verb, resource = str(attributes.get("verb", "")), str(attributes.get("resource", ""))
    subresource = str(attributes.get("subresource", ""))
    verb = _VERBS.get(verb, verb)
    match subresource:
        case "":
            wanted = verb
        case "status" | "scale":
            wanted = f"{verb}{subresource.capitalize()}"
        case _:
            wanted = _SUBRESOURCES.get(subresource, subresource)
    kind = _KINDS.get(resource, resource)
    # A part of a known object that IAM has no name for needs what the object itself does.
    for permission in (f"container.{kind}.{wanted}", f"container.{kind}.{verb}"):
        if "." not in resource and is_permission(permission):
            return permission
    return f"container.{_OTHERS}.{verb}"
