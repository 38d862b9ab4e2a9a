"""What Cloud SQL does while the region runs: it keeps PostgreSQL servers as their instances say."""

from fogbank.services.sqladmin.controller.controller import SqlController, make_controller

__all__ = ["SqlController", "make_controller"]
