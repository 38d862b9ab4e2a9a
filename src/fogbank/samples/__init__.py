"""The programs inside the built-in images. They run alone: nothing else of Fogbank is there."""
