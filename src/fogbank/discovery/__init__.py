"""Google's machine-readable API descriptions, as compact tables.

``compile.py`` makes the tables; ``routes.py`` tells which method a request calls, ``schemas.py`` checks and
converts what it carries.
"""
