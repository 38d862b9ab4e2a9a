"""Reads a plan of Terraform's, and answers what applying it would do to the paths of a region."""
