"""Service account credentials (``iamcredentials.googleapis.com``): short-lived tokens and signatures.

The methods need the region's keys, which no service sees, so an application of the front end answers them
(``frontend/iam/iamcredentials.py``); here is only what the API is.
"""

from fogbank.services.contract import NO_PERMISSION, Elsewhere, Service

ACCOUNTS = "projects.serviceAccounts."

SERVICE = Service(
    name="iamcredentials",
    title="IAM Service Account Credentials API",
    versions=("v1",),
    methods={
        f"{ACCOUNTS}generateAccessToken": Elsewhere("iam.serviceAccounts.getAccessToken"),
        f"{ACCOUNTS}generateIdToken": Elsewhere("iam.serviceAccounts.getOpenIdToken"),
        f"{ACCOUNTS}signBlob": Elsewhere("iam.serviceAccounts.signBlob"),
        f"{ACCOUNTS}getAllowedLocations": Elsewhere(NO_PERMISSION),
        f"{ACCOUNTS}signJwt": Elsewhere("iam.serviceAccounts.signJwt"),
    },
    permissions=("iam.serviceAccounts.implicitDelegation",),
)
