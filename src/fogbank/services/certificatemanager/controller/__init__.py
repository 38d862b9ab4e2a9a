"""Issues managed certificates when control of their domains is shown, and renews them in time."""

from fogbank.control.controller import Runtime
from fogbank.services.certificatemanager.controller.controller import CertificateController

__all__ = ["CertificateController", "make_controller"]


def make_controller(runtime: Runtime) -> CertificateController:
    """Make the controller of Certificate Manager."""
    return CertificateController(runtime)
