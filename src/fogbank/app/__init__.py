"""The composition root: the only place that knows all the other packages.

``python -m fogbank.app`` is a region's own program; `fogbank up` starts it in a world of its own.
"""
