"""Cloud Billing API (``cloudbilling.googleapis.com``): which account a project is linked to."""

from fogbank.services.cloudbilling import projects
from fogbank.services.contract import NO_PERMISSION, Read, Service, Write

SERVICE = Service(
    name="cloudbilling",
    title="Cloud Billing API",
    versions=("v1",),
    methods={
        "billingAccounts.testIamPermissions": Read(projects.account_permissions, NO_PERMISSION),
        "projects.getBillingInfo": Read(projects.get_billing_info, "resourcemanager.projects.get"),
        "projects.updateBillingInfo": Write(
            projects.update_billing_info, "resourcemanager.projects.createBillingAssignment"
        ),
    },
)
