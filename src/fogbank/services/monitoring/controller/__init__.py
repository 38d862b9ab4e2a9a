"""Cloud Monitoring while the region runs: samples once a minute."""

from fogbank.services.monitoring.controller.controller import Monitoring, make_controller

__all__ = ["Monitoring", "make_controller"]
