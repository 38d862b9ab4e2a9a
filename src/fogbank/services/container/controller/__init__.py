"""Keeps the control planes of clusters running."""

from fogbank.services.container.controller.controller import make_controller

__all__ = ["make_controller"]
