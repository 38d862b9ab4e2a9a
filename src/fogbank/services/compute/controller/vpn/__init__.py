"""Keeps the programs of VPN gateways running and told what they should be, and says what tunnels do."""

from fogbank.services.compute.controller.vpn.controller import VpnController, make_controller

__all__ = ["VpnController", "make_controller"]
