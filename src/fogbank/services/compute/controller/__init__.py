"""What compute does while the region runs: a module for each of its controllers."""
