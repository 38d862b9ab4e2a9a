"""What Connectivity Tests do while the region runs: each is analysed, and verified with a packet."""

from fogbank.services.networkmanagement.controller.controller import TestsController, make_controller

__all__ = ["TestsController", "make_controller"]
